//! A client over any stream, for the test kit.

use std::io;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Stream;
use crate::close::CloseCode;

/// Messages a client reads ahead of its test.
///
/// Few, so that a test can still play a client that does not read.
const READ_AHEAD: usize = 16;

type Socket = WebSocketStream<Box<dyn Stream>>;

/// A connected client.
///
/// A task reads, so that pings are answered while the test does something else.
pub(crate) struct Client {
    sink: SplitSink<Socket, Message>,
    received: mpsc::Receiver<Incoming>,
    reading: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// What a client was sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    Binary(Vec<u8>),
    Closed(CloseCode, String),
    /// The stream ended without a close frame, or with one that has no code.
    Ended,
    Text(String),
}

impl Client {
    /// # Errors
    ///
    /// The status and body of the answer that refused the handshake.
    pub(crate) async fn connect(
        stream: Box<dyn Stream>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, (u16, String)> {
        let broken = |error: Error| (0, error.to_string());
        let mut request = format!("ws://localhost{path}").into_client_request().map_err(broken)?;
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).map_err(|error| (0, error.to_string()))?;
            let value = HeaderValue::try_from(*value).map_err(|error| (0, error.to_string()))?;
            request.headers_mut().insert(name, value);
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self::new(socket)),
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => Err(broken(error)),
        }
    }

    fn new(socket: Socket) -> Self {
        let (sink, mut stream) = socket.split();
        let (messages, received) = mpsc::channel(READ_AHEAD);
        let reading = tokio::spawn(async move {
            // Reading answers pings, and completes the closing handshake.
            while let Some(Ok(message)) = stream.next().await {
                if let Some(message) = Incoming::of(message)
                    && messages.send(message).await.is_err()
                {
                    return;
                }
            }
        });
        Self { sink, received, reading }
    }

    pub(crate) async fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.sink.send(Message::text(text)).await.map_err(io::Error::other)
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.send(Message::binary(bytes.to_vec())).await.map_err(io::Error::other)
    }

    pub(crate) async fn close(&mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        let frame = CloseFrame { code: code.as_u16().into(), reason: reason.into() };
        self.sink.send(Message::Close(Some(frame))).await.map_err(io::Error::other)
    }

    /// Waits for the next message.
    pub(crate) async fn receive(&mut self) -> Incoming {
        self.received.recv().await.unwrap_or(Incoming::Ended)
    }
}

impl Incoming {
    fn of(message: Message) -> Option<Self> {
        match message {
            Message::Text(text) => Some(Self::Text(text.as_str().to_owned())),
            Message::Binary(bytes) => Some(Self::Binary(bytes.to_vec())),
            Message::Close(Some(frame)) => {
                let code = CloseCode::from(u16::from(frame.code));
                Some(Self::Closed(code, frame.reason.as_str().to_owned()))
            }
            Message::Close(None) => Some(Self::Ended),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        }
    }
}
