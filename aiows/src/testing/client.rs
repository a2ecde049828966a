use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::relay::{Answers, relay};
use crate::close::CloseCode;
use crate::codec::{Tag, decode, read_head};
use crate::id::MessageId;
use crate::message::{Incoming, Outgoing, encode};
use crate::protocol::client::{Client, Incoming as Received};
use crate::transport::Stream;

/// How long anything that is expected may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handshake that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub body: String,
}

/// A client of a [`TestServer`](super::TestServer).
///
/// It answers pings, also while nothing is expected of it, as long as not more than 16 KiB of messages
/// wait to be received. With more it is a client that does not read; see [`hang`](Self::hang) for one
/// that is silent.
pub struct TestClient {
    client: Client,
    answers: Answers,
    tag: Tag,
}

impl TestClient {
    pub(super) async fn connect(
        stream: Box<dyn Stream>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        let (stream, answers) = relay(stream);
        let connected = in_time("the handshake", Client::connect(stream, path, headers)).await;
        let client = connected.map_err(|(status, body)| Refused { status, body })?;
        Ok(Self { client, answers, tag: Tag::default() })
    }

    /// Uses another key than `type` for the message type, as `Router::tag` does.
    #[must_use]
    pub fn tag(mut self, key: &str) -> Self {
        self.tag = Tag::new(key);
        self
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn send<M: Outgoing>(&mut self, message: &M) {
        let encoded = encode(&self.tag, None, message).expect("a message is an object");
        self.send_text(&String::from_utf8_lossy(encoded.payload())).await;
    }

    /// Sends a message with a request id.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn request<M: Outgoing>(&mut self, id: impl Into<MessageId>, message: &M) {
        let encoded = encode(&self.tag, None, message).expect("a message is an object");
        let mut value: Value =
            serde_json::from_slice(encoded.payload()).expect("a message is JSON");
        value["id"] = serde_json::to_value(id.into()).expect("an id is JSON");
        self.send_json(&value).await;
    }

    /// Sends any value as JSON.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn send_json<T: Serialize + ?Sized>(&mut self, value: &T) {
        let text = serde_json::to_string(value).expect("the value can be encoded");
        self.send_text(&text).await;
    }

    /// Sends a text as it is.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn send_text(&mut self, text: &str) {
        let sent = in_time("room to send", self.client.send_text(text)).await;
        sent.expect("the connection is open");
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        let sent = in_time("room to send", self.client.send_binary(bytes)).await;
        sent.expect("the connection is open");
    }

    /// Receives a message of type `M`.
    ///
    /// # Panics
    ///
    /// When something else comes, or nothing for 5 s.
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
            Err(error) => panic!("{text} is no `{}`: {:?}", M::TYPE, error.fields()),
        }
    }

    /// Receives what a handler asks with [`WebSocket::request`](crate::WebSocket::request), and the id
    /// to [`answer`](Self::answer).
    ///
    /// # Panics
    ///
    /// When something else comes, a message without an `id` too, or nothing for 5 s.
    pub async fn recv_question<M: Incoming>(&mut self) -> (M, MessageId) {
        let text = self.recv_text().await;
        let (message, id) = self.read(&text);
        let Some(id) = id else { panic!("expected a question, received {text}") };
        (message, id)
    }

    /// Answers a question.
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
    /// When the connection is closed.
    pub async fn answer<M: Outgoing>(&mut self, id: impl Into<MessageId>, message: &M) {
        let id = id.into();
        let encoded = encode(&self.tag, Some(&id), message).expect("a message is an object");
        self.send_text(&String::from_utf8_lossy(encoded.payload())).await;
    }

    /// Receives any message, as JSON.
    ///
    /// # Panics
    ///
    /// When the connection ends, or nothing comes for 5 s.
    pub async fn recv_json(&mut self) -> Value {
        let text = self.recv_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text} is no JSON: {error}"))
    }

    /// Receives a text.
    ///
    /// # Panics
    ///
    /// When something else comes, or nothing for 5 s.
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
    /// When something else comes, or nothing for 5 s.
    pub async fn recv_binary(&mut self) -> Vec<u8> {
        match in_time("bytes", self.receive()).await {
            Received::Binary(bytes) => bytes,
            other => panic!("expected bytes, received {other:?}"),
        }
    }

    /// Expects that nothing comes for this long; with paused time it takes none.
    ///
    /// # Panics
    ///
    /// When something comes.
    pub async fn expect_silence(&mut self, duration: Duration) {
        if let Ok(received) = timeout(duration, self.receive()).await {
            panic!("expected silence, received {received:?}");
        }
    }

    /// Expects that the server closes with this code, and returns the reason.
    ///
    /// # Panics
    ///
    /// When something else comes, or nothing for 5 s.
    pub async fn expect_closed(&mut self, code: impl Into<CloseCode>) -> String {
        let code = code.into();
        match in_time("the close frame", self.receive()).await {
            Received::Closed(received, reason) if received == code => reason,
            other => panic!("expected a close frame with {code}, received {other:?}"),
        }
    }

    /// Answers no pings until something is received again, as a client does that hangs.
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
        self.answers.set(false);
    }

    async fn receive(&mut self) -> Received {
        self.answers.set(true);
        self.client.receive().await
    }

    /// Closes the connection, and waits until the server has answered.
    ///
    /// What the server sent before is passed over.
    ///
    /// # Panics
    ///
    /// When the server does not answer for 5 s.
    pub async fn close(mut self, code: impl Into<CloseCode>, reason: &str) {
        // Closed by the server at the same time is closed as well.
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
    let result = timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}
