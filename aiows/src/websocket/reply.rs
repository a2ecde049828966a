//! Replies that a handler sends before it returns.

use std::sync::atomic::{AtomicU8, Ordering};

use super::WebSocket;
use crate::error::SendError;
use crate::id::MessageId;
use crate::message::{Outgoing, encode};

const IDLE: u8 = 0;
/// A message is being handled.
const HANDLING: u8 = 1;
/// A reply was sent in the meantime; the ids are kept among the locals.
const REPLIED: u8 = 2;

/// Whether a reply was sent for the message that is being handled. Takes one byte until there is
/// one.
#[derive(Default)]
pub(super) struct Replies {
    stage: AtomicU8,
}

/// The ids of the requests that got a reply while the current message is handled.
#[derive(Default)]
struct Replied(Vec<MessageId>);

impl WebSocket {
    /// Sends a message as a reply to the request `id`; see [`send`](Self::send).
    ///
    /// If your handler has replied to its own request and returns no message, the request is
    /// answered, and no acknowledgement follows. A message or an error that the handler returns is
    /// sent as well. If the handler of the request has already returned, your reply comes after its
    /// answer or its acknowledgement.
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
    /// Returns the errors of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// If you drop the future before it completes, no reply is queued.
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
        // Checked under the lock, so that a reply from another task is noted for this message or
        // for none.
        let mut locals = self.locals();
        let stage = &self.record.replies.stage;
        if stage.load(Ordering::Acquire) == IDLE {
            return;
        }
        let mut replied = locals.remove::<Replied>().unwrap_or_default();
        if !replied.0.contains(id) {
            replied.0.push(id.clone());
        }
        // A closed connection stores no values, and handles no further message.
        let _ = locals.insert(replied);
        stage.store(REPLIED, Ordering::Release);
    }

    /// Notes that a message is about to be handled.
    pub(crate) fn begin_handling(&self) {
        self.record.replies.stage.store(HANDLING, Ordering::Release);
    }

    /// Notes that the message is handled, and returns whether a reply to `id` was sent in the
    /// meantime.
    pub(crate) fn end_handling(&self, id: Option<&MessageId>) -> bool {
        let before = self.record.replies.stage.swap(IDLE, Ordering::AcqRel);
        if before != REPLIED {
            return false;
        }
        let replied = self.locals().remove::<Replied>().unwrap_or_default();
        id.is_some_and(|id| replied.0.contains(id))
    }
}
