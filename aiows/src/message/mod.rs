//! Messages: the typed ones, the raw one, and the frames the framework itself writes.

mod error_frame;
mod raw;
#[cfg(feature = "validator")]
mod validation;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::error_frame::ErrorFrame;
pub use self::raw::RawMessage;
#[cfg(feature = "validator")]
pub use self::validation::{Names, Probe, Validated, ViaNames, ViaNothing, WireNames, validated};
use crate::error::HandlerError;

/// A type that travels as one JSON object with a message type.
///
/// It is derived: `#[derive(Message)]` names the message type after the struct in snake case,
/// `#[aiows(type = "..")]` names it otherwise. A message that is received also derives
/// [`serde::Deserialize`], one that is sent [`serde::Serialize`].
///
/// ```
/// use aiows::Message;
///
/// #[derive(Message)]
/// struct ChatResponse;
///
/// #[derive(Message)]
/// #[aiows(type = "room.join")]
/// struct Join;
///
/// assert_eq!(ChatResponse::TYPE, "chat_response");
/// assert_eq!(Join::TYPE, "room.join");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "not a message",
    note = "annotate `{Self}` with `#[derive(aiows::Message)]`"
)]
pub trait Message {
    /// The message type, as it stands on the wire.
    const TYPE: &'static str;

    /// Whether the type was written down, so that a handler's literal can be held against it.
    #[doc(hidden)]
    const DECLARED: bool = false;

    /// Checks the `#[validate]` rules of the type.
    ///
    /// # Errors
    ///
    /// `validation_failed`, with every failing field.
    #[doc(hidden)]
    fn validate(&self) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A message that can be received; every [`Message`] that owns its data and is `Deserialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be received as a message",
    label = "not a message that can be received",
    note = "annotate `{Self}` with `#[derive(aiows::Message, serde::Deserialize)]`"
)]
pub trait Incoming: Message + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Message + DeserializeOwned + Send + 'static> Incoming for T {}

/// A message that can be sent; every [`Message`] that is `Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a message",
    label = "not a message that can be sent",
    note = "annotate `{Self}` with `#[derive(aiows::Message, serde::Serialize)]`"
)]
pub trait Outgoing: Message + Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Message + Serialize + ?Sized> Outgoing for T {}
