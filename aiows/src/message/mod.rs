//! Messages: typed ones, raw ones, and errors as they are written on the wire.
//!
//! A type that implements [`Message`] has a message type and optional validation. [`Incoming`] and
//! [`Outgoing`] are the messages that a server can receive and send. The module `codec` turns them
//! into JSON and back.

mod bounded; // a list with a bound
mod error_frame; // errors as they are written on the wire
mod probe; // what the type of a field implements
mod raw; // a message as it was received
#[cfg(feature = "validator")]
mod validation; // the `#[validate]` rules

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::bounded::BoundedVec;
pub(crate) use self::error_frame::ErrorFrame;
pub(crate) use self::probe::mismatch_of;
pub use self::probe::{Probe, ReadKeys, ViaNoReads, ViaReads};
pub use self::raw::RawMessage;
#[cfg(feature = "validator")]
pub use self::validation::{
    ListSize, Names, Validated, ViaInnerHeld, ViaInnerHeldRules, ViaInnerMessage, ViaInnerNamed,
    ViaInnerRules, ViaItems, ViaKeys, ViaList, ViaNames, ViaNoCheck, ViaNoInner, ViaNoKeys,
    ViaNoList, ViaNoWalk, ViaNotRuled, ViaNothing, ViaRuled, ViaRuledHeld, ViaRuledNames,
    ViaUnordered, ViaValidated, ViaWalk, Walk, WireNames, field_errors, validated,
    validated_in_parts,
};
use crate::codec::{self, Encoded, HeadId, Tag, assert_type};
use crate::error::HandlerError;
use crate::limits::Rule;

/// A type that is sent and received as one JSON object with a message type.
///
/// You derive it: `#[derive(Message)]` takes the message type from the name of the struct in snake
/// case, and `#[aiows(type = "..")]` sets another one. If you receive the message, also derive
/// [`serde::Deserialize`]; if you send it, [`serde::Serialize`].
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
///
/// You can also implement it by hand:
///
/// ```
/// use aiows::error::FieldError;
/// use aiows::{HandlerError, Message, Result};
///
/// struct Guess {
///     number: u8,
/// }
///
/// impl Message for Guess {
///     const TYPE: &'static str = "guess";
///
///     fn validate(&self) -> Result {
///         if self.number > 100 {
///             let field = FieldError::new("number", "range", "is more than 100");
///             return Err(HandlerError::invalid([field]));
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "not a message",
    note = "annotate `{Self}` with `#[derive(aiows::Message)]`"
)]
pub trait Message {
    /// The message type on the wire.
    ///
    /// If you send the message, it does not compile if this is a type of the protocol (`ack`,
    /// `auth`, `auth_success`, `error`, `room.joined`, `room.left`, `room.members`), if it is
    /// empty, or if it contains white space or control characters.
    const TYPE: &'static str;

    /// Whether handlers of this message must be registered for [`TYPE`](Self::TYPE) and no other
    /// type. The derive sets it to `true` if `#[aiows(type = "..")]` is present.
    const DECLARED: bool = false;

    /// Returns the overflow rule of this message, for recipients with a full queue.
    #[doc(hidden)]
    fn delivery(&self) -> Rule {
        Rule::Server
    }

    /// Adds the keys that the message reads through flattened or wrapped fields.
    #[doc(hidden)]
    fn flattened(_keys: &mut ReadKeys<'_>) {}

    /// Returns the fields with types that have unchecked rules.
    #[doc(hidden)]
    #[must_use]
    fn unchecked() -> Vec<&'static str> {
        Vec::new()
    }

    /// Checks a message after it was received and decoded. The derive checks the `#[validate]`
    /// rules.
    ///
    /// # Errors
    ///
    /// The client receives `validation_failed` with every field that failed.
    fn validate(&self) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A message that you can receive: every [`Message`] that owns its data and implements
/// `Deserialize`.
///
/// It is implemented for you.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be received as a message",
    label = "not a message that can be received",
    note = "annotate `{Self}` with `#[derive(aiows::Message, serde::Deserialize)]`"
)]
pub trait Incoming: Message + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Message + DeserializeOwned + Send + 'static> Incoming for T {}

/// A message that you can send: every [`Message`] that implements `Serialize`, and every set of
/// messages.
///
/// A set is an enum that derives [`Message`](trait@crate::Message): each variant holds one message,
/// which is sent as if it were on its own. If a handler answers with one of several messages, it
/// returns a set.
#[cfg_attr(
    feature = "macros",
    doc = r#"
```
use aiows::messages::Outgoing;
use aiows::{Message, message};
use serde::{Deserialize, Serialize};

#[derive(Message, Deserialize)]
struct Join {
    room: String,
}

#[derive(Message, Serialize)]
struct Welcome {
    members: u32,
}

#[derive(Message, Serialize)]
struct Full;

#[derive(Message)]
enum Answer {
    Welcome(Welcome),
    Full(Full),
}

#[message("join")]
async fn join(join: Join) -> Answer {
    match join.room.as_str() {
        "lobby" => Answer::Full(Full),
        _ => Answer::Welcome(Welcome { members: 1 }),
    }
}

assert_eq!(Answer::Welcome(Welcome { members: 1 }).message_type(), "welcome");
assert_eq!(Answer::Full(Full).message_type(), "full");
```
"#
)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a message",
    label = "not a message that can be sent",
    note = "annotate `{Self}` with `#[derive(aiows::Message, serde::Serialize)]`"
)]
pub trait Outgoing {
    /// Passes the message type and the payload to a visitor.
    #[doc(hidden)]
    fn visit<V: Visitor>(&self, visitor: V) -> V::Output;

    /// Returns the message type that this value is sent with.
    fn message_type(&self) -> &'static str {
        self.visit(TypeOf)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Message + Serialize + ?Sized> Outgoing for T {
    fn visit<V: Visitor>(&self, mut visitor: V) -> V::Output {
        const { assert_type(T::TYPE) };
        visitor.set_rule(|| self.delivery());
        visitor.visit(T::TYPE, self)
    }
}

/// Receives the message type and the payload of a message to send.
#[doc(hidden)]
pub trait Visitor {
    type Output;

    /// Sets the overflow rule of the message, before the visit.
    fn set_rule(&mut self, _rule: impl FnOnce() -> Rule) {}

    fn visit<P: Serialize + ?Sized>(self, message_type: &'static str, payload: &P) -> Self::Output;
}

/// Passes the message in a set to a visitor.
#[doc(hidden)]
pub fn visit<M: Outgoing, V: Visitor>(message: &M, visitor: V) -> V::Output {
    message.visit(visitor)
}

struct TypeOf;

impl Visitor for TypeOf {
    type Output = &'static str;

    fn visit<P: Serialize + ?Sized>(
        self,
        message_type: &'static str,
        _payload: &P,
    ) -> &'static str {
        message_type
    }
}

/// Encodes a message.
pub(crate) fn encode<'a, M: Outgoing + ?Sized>(
    tag: &Tag,
    id: impl Into<HeadId<'a>>,
    message: &M,
) -> serde_json::Result<Encoded> {
    message.visit(Encode { tag, id: id.into(), rule: Rule::Server })
}

struct Encode<'a> {
    tag: &'a Tag,
    id: HeadId<'a>,
    rule: Rule,
}

impl Visitor for Encode<'_> {
    type Output = serde_json::Result<Encoded>;

    fn set_rule(&mut self, rule: impl FnOnce() -> Rule) {
        // The client or a handler waits for an answer or a question, so no policy drops it.
        self.rule = if let HeadId::None = self.id { rule() } else { rule().kept() };
    }

    fn visit<P: Serialize + ?Sized>(self, message_type: &'static str, payload: &P) -> Self::Output {
        let encoded = codec::encode(self.tag, message_type, self.id, payload)?;
        Ok(encoded.with_rule(self.rule))
    }
}
