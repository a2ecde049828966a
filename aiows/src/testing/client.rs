//! A client of the test kit.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::auto_pong::{AutoPong, with_auto_pong};
use crate::close::CloseCode;
use crate::codec::{HeadId, Tag, decode, read_head};
use crate::id::MessageId;
use crate::message::{Incoming, Outgoing, encode};
use crate::protocol::client::{Client, Incoming as Received};
use crate::transport::Stream;

/// The timeout of every wait in a test.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The answer to a handshake that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub body: String,
}

/// A client of a [`TestServer`](super::TestServer).
///
/// The client answers pings even while your test does not receive, as long as no more than 16 KiB
/// of messages wait to be received. Beyond that it behaves like a client that does not read. To
/// test a client that is silent, use [`hang`](Self::hang).
pub struct TestClient {
    /// Whether pings are answered while the test does not receive; changed by `hang` and by each
    /// receive.
    client: Client,
    auto_pong: AutoPong,
    tag: Tag,
}

impl TestClient {
    pub(super) async fn connect(
        stream: Box<dyn Stream>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        let (stream, auto_pong) = with_auto_pong(stream);
        let connected = in_time("the handshake", Client::connect(stream, path, headers)).await;
        let client = connected.map_err(|(status, body)| Refused { status, body })?;
        Ok(Self { client, auto_pong, tag: Tag::default() })
    }

    /// Uses another key than `type` for the message type, like `Router::tag` does.
    #[must_use]
    pub fn tag(mut self, key: &str) -> Self {
        self.tag = Tag::new(key);
        self
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// Panics if the connection is closed.
    pub async fn send<M: Outgoing>(&mut self, message: &M) {
        let encoded = encode(&self.tag, HeadId::None, message).expect("a message is an object");
        self.send_text(&String::from_utf8_lossy(encoded.payload())).await;
    }

    /// Sends a message with a request id.
    ///
    /// # Panics
    ///
    /// Panics if the connection is closed.
    pub async fn request<M: Outgoing>(&mut self, id: impl Into<MessageId>, message: &M) {
        let encoded = encode(&self.tag, HeadId::None, message).expect("a message is an object");
        let mut value: Value =
            serde_json::from_slice(encoded.payload()).expect("a message is JSON");
        value["id"] = serde_json::to_value(id.into()).expect("an id is JSON");
        self.send_json(&value).await;
    }

    /// Sends any value as JSON.
    ///
    /// # Panics
    ///
    /// Panics if the connection is closed.
    pub async fn send_json<T: Serialize + ?Sized>(&mut self, value: &T) {
        let text = serde_json::to_string(value).expect("the value can be encoded");
        self.send_text(&text).await;
    }

    /// Sends a text unchanged.
    ///
    /// # Panics
    ///
    /// Panics if the connection is closed.
    pub async fn send_text(&mut self, text: &str) {
        let sent = in_time("room to send", self.client.send_text(text)).await;
        sent.expect("the connection is open");
    }

    /// Sends bytes unchanged.
    ///
    /// # Panics
    ///
    /// Panics if the connection is closed.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        let sent = in_time("room to send", self.client.send_binary(bytes)).await;
        sent.expect("the connection is open");
    }

    /// Receives a message of type `M`.
    ///
    /// # Panics
    ///
    /// Panics if another message or frame arrives, or none within 5 s.
    pub async fn recv<M: Incoming>(&mut self) -> M {
        let text = self.recv_text().await;
        self.read(&text).0
    }

    fn read<M: Incoming>(&self, text: &str) -> (M, Option<MessageId>) {
        let head = read_head(&self.tag, text);
        let is_expected = head.is_ok_and(|head| head.message_type == M::TYPE);
        assert!(is_expected, "expected a message of type `{}`, received {text}", M::TYPE);
        match decode(&self.tag, text) {
            Ok(decoded) => decoded,
            Err(error) => panic!("{text} is not a valid `{}`: {:?}", M::TYPE, error.fields()),
        }
    }

    /// Receives a question of a handler that calls
    /// [`WebSocket::request`](crate::WebSocket::request). Returns the message, and the id for
    /// [`answer`](Self::answer).
    ///
    /// # Panics
    ///
    /// Panics if another message arrives, if the message has no `id`, or if none arrives within
    /// 5 s.
    pub async fn recv_question<M: Incoming>(&mut self) -> (M, MessageId) {
        let text = self.recv_text().await;
        let (message, id) = self.read(&text);
        let Some(id) = id else { panic!("expected a question, received {text}") };
        (message, id)
    }

    /// Answers a question of a handler.
    ///
    /// ```
    /// use aiows::testing::TestServer;
    /// use aiows::{Message, Result, Router, WebSocket, connect, routes};
    /// use serde::{Deserialize, Serialize};
    /// use std::time::Duration;
    ///
    /// #[derive(Message, Deserialize, Serialize)]
    /// struct WhoAreYou;
    ///
    /// #[derive(Message, Deserialize, Serialize)]
    /// struct IAm {
    ///     name: String,
    /// }
    ///
    /// #[connect]
    /// async fn greet(ws: WebSocket) -> Result {
    ///     let i_am: IAm = ws.request(&WhoAreYou, Duration::from_secs(5)).await?;
    ///     ws.send_text(&format!("hello {}", i_am.name)).await?;
    ///     Ok(())
    /// }
    ///
    /// #[tokio::main(flavor = "current_thread")]
    /// async fn main() {
    ///     let server = TestServer::new(Router::new().routes(routes![greet]));
    ///     let mut client = server.connect().await;
    ///     let (_, id) = client.recv_question::<WhoAreYou>().await;
    ///     client.answer(id, &IAm { name: "ann".into() }).await;
    ///     assert_eq!(client.recv_text().await, "hello ann");
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the connection is closed.
    pub async fn answer<M: Outgoing>(&mut self, id: impl Into<MessageId>, message: &M) {
        let id = id.into();
        let encoded = encode(&self.tag, Some(&id), message).expect("a message is an object");
        self.send_text(&String::from_utf8_lossy(encoded.payload())).await;
    }

    /// Receives any message, as JSON.
    ///
    /// # Panics
    ///
    /// Panics if the connection ends, or if no message arrives within 5 s.
    pub async fn recv_json(&mut self) -> Value {
        let text = self.recv_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text} is not JSON: {error}"))
    }

    /// Receives a text.
    ///
    /// # Panics
    ///
    /// Panics if another frame arrives, or none within 5 s.
    pub async fn recv_text(&mut self) -> String {
        match in_time("a text", self.receive()).await {
            Received::Text(text) => text,
            other => panic!("expected a text, received {other:?}"),
        }
    }

    /// Receives bytes.
    ///
    /// # Panics
    ///
    /// Panics if another frame arrives, or none within 5 s.
    pub async fn recv_binary(&mut self) -> Vec<u8> {
        match in_time("bytes", self.receive()).await {
            Received::Binary(bytes) => bytes,
            other => panic!("expected bytes, received {other:?}"),
        }
    }

    /// Expects that no frame arrives for this long. With paused time it returns at once.
    ///
    /// # Panics
    ///
    /// Panics if a frame arrives.
    pub async fn expect_silence(&mut self, duration: Duration) {
        if let Ok(received) = timeout(duration, self.receive()).await {
            panic!("expected silence, received {received:?}");
        }
    }

    /// Expects that the server closes the connection with this code. Returns the close reason.
    ///
    /// # Panics
    ///
    /// Panics if another frame arrives, or none within 5 s.
    pub async fn expect_closed(&mut self, code: impl Into<CloseCode>) -> String {
        let code = code.into();
        match in_time("the close frame", self.receive()).await {
            Received::Closed(received, reason) if received == code => reason,
            other => panic!("expected a close frame with {code}, received {other:?}"),
        }
    }

    /// Stops answering pings until you receive again, like a client that hangs.
    ///
    /// ```
    /// use aiows::testing::TestServer;
    /// use aiows::{DisconnectReason, Router, State, disconnect, routes};
    /// use tokio::sync::mpsc::{Sender, channel};
    ///
    /// #[disconnect]
    /// async fn gone(State(ends): State<Sender<DisconnectReason>>, reason: DisconnectReason) {
    ///     ends.try_send(reason).ok();
    /// }
    ///
    /// #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// async fn main() {
    ///     let (ends, mut ended) = channel(1);
    ///     let server = TestServer::new(Router::new().routes(routes![gone]).state(ends));
    ///     let mut client = server.connect().await;
    ///     client.hang();
    ///     assert_eq!(ended.recv().await, Some(DisconnectReason::Timeout));
    /// }
    /// ```
    pub fn hang(&mut self) {
        self.auto_pong.set(false);
    }

    async fn receive(&mut self) -> Received {
        self.auto_pong.set(true);
        self.client.receive().await
    }

    /// Closes the connection and waits until the server has answered.
    ///
    /// Messages that the server sent before its answer are dropped.
    ///
    /// # Panics
    ///
    /// Panics if the server does not answer within 5 s.
    pub async fn close(mut self, code: impl Into<CloseCode>, reason: &str) {
        // Fails if the server closes the connection at the same time, which is as good.
        let _ = in_time("room to send", self.client.close(code.into(), reason)).await;
        in_time("the answer to a close frame", async {
            while let Received::Text(_) | Received::Binary(_) = self.receive().await {}
        })
        .await;
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestClient")
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(TIMEOUT, future).await;
    result.unwrap_or_else(|_| panic!("waited {TIMEOUT:?} for {what}"))
}
