//! The type [`RawMessage`].

use serde_json::Value;

use super::Incoming;
use crate::codec::{self, Tag};
use crate::error::Result;
use crate::id::MessageId;

/// A message as it was received, for handlers that have no type for it, and for access to unknown
/// fields.
///
/// It owns a copy of the text, so you can keep it and move it to other tasks.
///
/// ```
/// use aiows::{HandlerError, RawMessage, fallback};
///
/// #[fallback]
/// async fn other(message: RawMessage) -> Result<serde_json::Value, HandlerError> {
///     Ok(serde_json::json!({ "type": "seen", "what": message.json()?["type"] }))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RawMessage {
    text: String,
    message_type: String,
    id: Option<MessageId>,
    tag: Tag,
}

impl RawMessage {
    pub(crate) fn new(text: &str, message_type: &str, id: Option<MessageId>, tag: Tag) -> Self {
        Self { text: text.to_owned(), message_type: message_type.to_owned(), id, tag }
    }

    /// Parses a message from its text, for tests and for messages that arrive in another way.
    ///
    /// # Errors
    ///
    /// Returns `invalid_json` or `invalid_message`, the same error that a client would receive.
    pub fn from_text(text: impl Into<String>) -> Result<Self> {
        let (text, tag) = (text.into(), Tag::default());
        let head = codec::read_head(&tag, &text)?;
        let (message_type, id) = (head.message_type.into_owned(), head.id);
        Ok(Self { text, message_type, id, tag })
    }

    /// Returns the text of the message as it was received.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the message type.
    #[must_use]
    pub fn message_type(&self) -> &str {
        &self.message_type
    }

    /// Returns the request id, if the message has one.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// Returns the whole message as a JSON value, including `type` and `id`.
    ///
    /// # Errors
    ///
    /// Returns `invalid_payload` for JSON that a [`Value`] cannot hold: a number like `1e400`, half
    /// of a surrogate pair in a string, or arrays and objects nested 128 deep.
    pub fn json(&self) -> Result<Value> {
        codec::decode_whole(&self.text)
    }

    /// Decodes and validates the message as a `T`, whatever its message type is.
    ///
    /// # Errors
    ///
    /// Returns `invalid_payload` or `validation_failed`, as if the handler had taken a `T`.
    pub fn parse<T: Incoming>(&self) -> Result<T> {
        let (value, _) = codec::decode::<T>(&self.tag, &self.text)?;
        value.validate()?;
        Ok(value)
    }
}
