//! A WebSocket client over any stream, for the test kit.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::close::CloseCode;
use crate::transport::Stream;

/// A connected client.
pub(crate) struct Client {
    stream: WebSocketStream<Box<dyn Stream>>,
}

/// An event that a client receives.
#[derive(Debug)]
pub(crate) enum Incoming {
    Binary(Vec<u8>),
    Closed(CloseCode, String),
    /// The stream ended without a close frame, or with one that has no code.
    Ended,
    Text(String),
}

impl Client {
    /// Performs the handshake over a stream.
    /// # Errors
    ///
    /// Returns the status and the body of the answer that refused the handshake.
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
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => Err(broken(error)),
        }
    }

    pub(crate) async fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.stream.send(Message::text(text)).await.map_err(io::Error::other)
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send(Message::binary(bytes.to_vec())).await.map_err(io::Error::other)
    }

    pub(crate) async fn close(&mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        let frame = CloseFrame { code: code.as_u16().into(), reason: reason.into() };
        self.stream.close(Some(frame)).await.map_err(io::Error::other)
    }

    /// Waits for the next message, and answers pings while it waits.
    pub(crate) async fn receive(&mut self) -> Incoming {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Incoming::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => return Incoming::Binary(bytes.to_vec()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    // Sends our answer, which completes the closing handshake.
                    let _ = self.stream.flush().await;
                    let code = CloseCode::from(u16::from(frame.code));
                    return Incoming::Closed(code, frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Incoming::Ended,
            }
        }
    }
}
