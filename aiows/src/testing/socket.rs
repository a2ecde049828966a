//! A socket without a connection.

use std::fmt;
use std::sync::Arc;

use crate::close::CloseCode;
use crate::codec::{Tag, decode, read_head};
use crate::hub::Hub;
use crate::limits::Limits;
use crate::message::Incoming;
use crate::outbox::{AcceptedMessages, CloseOrder, CloseRequest, Outbox};
use crate::websocket::{Peer, WebSocket};

/// Makes a socket without a connection, to call a handler with, and the record of the messages sent
/// through it.
///
/// Its queue takes any number of messages, like the queue of a client that reads.
///
/// The socket has no client that answers questions. To test a handler that calls
/// [`WebSocket::request`], use a [`TestServer`](super::TestServer).
///
/// ```
/// use aiows::testing::socket;
/// use aiows::{CloseCode, Result, WebSocket, connect};
///
/// #[connect]
/// async fn greet(ws: WebSocket) -> Result {
///     ws.send_text("hello").await?;
///     ws.close(CloseCode::NORMAL, "bye");
///     Ok(())
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result {
///     let (ws, mut sent) = socket();
///     greet(ws).await?;
///     assert_eq!(sent.texts(), ["hello"]);
///     assert_eq!(sent.closed().unwrap().reason, "bye");
///     Ok(())
/// }
/// ```
#[must_use]
pub fn socket() -> (WebSocket, Sent) {
    // Like a client that reads, so that the queue is never full.
    let limits = Limits {
        outbound_messages: usize::MAX,
        outbound_size: usize::MAX,
        outbound_total: usize::MAX,
        ..Limits::default()
    };
    let outbox = Outbox::new(&limits, Arc::default());
    let registry = Hub::with_default_rules().1.registry();
    let socket = WebSocket::new(outbox, Peer::default(), Tag::default(), registry);
    let sent =
        Sent { socket: socket.clone(), texts: Vec::new(), binaries: Vec::new(), closed: None };
    (socket, sent)
}

/// The messages that were sent through a [`socket`].
pub struct Sent {
    socket: WebSocket,
    texts: Vec<String>,
    binaries: Vec<Vec<u8>>,
    closed: Option<SentClose>,
}

/// How a handler closed its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentClose {
    /// The code of the close frame.
    pub code: CloseCode,
    /// The reason of the close frame.
    pub reason: String,
}

impl Sent {
    /// Returns the texts that were sent since the last call.
    #[must_use]
    pub fn texts(&mut self) -> Vec<String> {
        self.collect();
        std::mem::take(&mut self.texts)
    }

    /// Returns the binary messages that were sent since the last call.
    #[must_use]
    pub fn binaries(&mut self) -> Vec<Vec<u8>> {
        self.collect();
        std::mem::take(&mut self.binaries)
    }

    /// Removes the oldest text that was sent, and returns it as an `M`. Returns `None` if there is
    /// none.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a valid `M`, or has another message type.
    #[must_use]
    pub fn take<M: Incoming>(&mut self) -> Option<M> {
        self.collect();
        if self.texts.is_empty() {
            return None;
        }
        let text = self.texts.remove(0);
        let head = read_head(&Tag::default(), &text);
        let is_expected = head.is_ok_and(|head| head.message_type == M::TYPE);
        assert!(is_expected, "expected a message of type `{}`, the handler sent {text}", M::TYPE);
        match decode(&Tag::default(), &text) {
            Ok((message, _)) => Some(message),
            Err(error) => panic!("{text} is not a valid `{}`: {error}", M::TYPE),
        }
    }

    /// Returns how the socket was closed, or `None` if it is open.
    #[must_use]
    pub fn closed(&mut self) -> Option<&SentClose> {
        if let CloseOrder::Close { request, .. } =
            self.socket.outbox().take_close_order(AcceptedMessages::Answered)
        {
            let CloseRequest { code, reason, .. } = *request;
            self.closed = Some(SentClose { code, reason });
        }
        self.closed.as_ref()
    }

    fn collect(&mut self) {
        const FIN: u8 = 0x80;
        const TEXT: u8 = 0x1;
        let bytes = self.socket.outbox().drain();
        let mut rest = &bytes[..];
        let (mut is_text, mut message) = (false, Vec::new());
        while let [first, length, ..] = *rest {
            let (start, length) = match length {
                126 => (4, number(&rest[2..4])),
                127 => (10, number(&rest[2..10])),
                short => (2, usize::from(short)),
            };
            if message.is_empty() {
                is_text = first & !FIN == TEXT;
            }
            message.extend_from_slice(&rest[start..start + length]);
            rest = &rest[start + length..];
            if first & FIN == 0 {
                continue;
            }
            let message = std::mem::take(&mut message);
            if is_text {
                self.texts.push(String::from_utf8_lossy(&message).into_owned());
            } else {
                self.binaries.push(message);
            }
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("socket", &self.socket).finish_non_exhaustive()
    }
}
