//! Answers a handler sends before it returns.

use std::sync::atomic::{AtomicU8, Ordering};

use super::WebSocket;
use crate::error::SendError;
use crate::id::MessageId;
use crate::message::{Outgoing, encode};

const IDLE: u8 = 0;
/// A message is being handled.
const HANDLING: u8 = 1;
/// Somebody replied meanwhile: to whom is kept among the locals.
const REPLIED: u8 = 2;

/// Whether the message in hand was replied to; costs a byte until somebody replies.
#[derive(Default)]
pub(super) struct Replies {
    stage: AtomicU8,
}

/// The requests that were replied to while the present message is handled.
#[derive(Default)]
struct Replied(Vec<MessageId>);

impl WebSocket {
    /// Sends a message as the answer to the request `id`; see [`send`](Self::send).
    ///
    /// A handler that has replied to its own request and returns nothing has answered it: no
    /// acknowledgement follows. What it returns besides, a message or an error, is sent, too. A reply
    /// to a request whose handler has returned comes after the answer or the acknowledgement that
    /// request had then.
    ///
    /// ```
    /// use aiows::{Message, MessageId, Result, WebSocket, message};
    /// use serde::Serialize;
    ///
    /// #[derive(Message, Serialize)]
    /// struct Row {
    ///     number: u32,
    /// }
    ///
    /// #[message("rows")]
    /// async fn rows(ws: WebSocket, id: MessageId) -> Result {
    ///     for number in 1..=3 {
    ///         ws.reply(&id, &Row { number }).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result {
    /// let (ws, mut sent) = aiows::testing::socket();
    /// rows(ws, 7.into()).await?;
    /// assert_eq!(sent.texts()[0], r#"{"type":"row","correlation_id":7,"number":1}"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// A dropped future has queued nothing.
    pub async fn reply<M: Outgoing + ?Sized>(
        &self,
        id: &MessageId,
        message: &M,
    ) -> Result<(), SendError> {
        let encoded = encode(self.tag(), Some(id), message).map_err(SendError::Encode)?;
        self.outbox().push(encoded).await?;
        self.note_reply(id);
        Ok(())
    }

    fn note_reply(&self, id: &MessageId) {
        // Under the lock, so that a reply from another task is noted for this message or for none.
        let mut locals = self.locals();
        let stage = &self.record.replies.stage;
        if stage.load(Ordering::Acquire) == IDLE {
            return;
        }
        let mut replied = locals.remove::<Replied>().unwrap_or_default();
        if !replied.0.contains(id) {
            replied.0.push(id.clone());
        }
        // A closed connection keeps none, and none of its messages is handled any more.
        let _ = locals.insert(replied);
        stage.store(REPLIED, Ordering::Release);
    }

    /// A message is about to be handled.
    pub(crate) fn begin_handling(&self) {
        self.record.replies.stage.store(HANDLING, Ordering::Release);
    }

    /// The message is handled; tells whether `id` was replied to meanwhile.
    pub(crate) fn end_handling(&self, id: Option<&MessageId>) -> bool {
        let before = self.record.replies.stage.swap(IDLE, Ordering::AcqRel);
        if before != REPLIED {
            return false;
        }
        let replied = self.locals().remove::<Replied>().unwrap_or_default();
        id.is_some_and(|id| replied.0.contains(id))
    }
}
