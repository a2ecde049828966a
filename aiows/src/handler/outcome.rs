//! The values that handlers return.

use serde_json::Value;

use crate::codec::{Encoded, encode_value};
use crate::error::HandlerError;
use crate::extract::Call;
use crate::message::{Outgoing, encode};
use crate::websocket::{Joined, Left, UserChange};

/// The result of a successful handler: an encoded answer, or no answer, which is the default.
#[derive(Debug, Default)]
pub struct Outcome {
    answer: Option<Encoded>,
}

impl Outcome {
    /// Returns `true` if the handler returned no answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answer.is_none()
    }

    /// Returns the answer as it is sent.
    #[cfg(feature = "test-util")]
    pub(crate) fn answer(&self) -> Option<&[u8]> {
        self.answer.as_ref().map(Encoded::payload)
    }

    pub(crate) fn into_answer(self) -> Option<Encoded> {
        self.answer
    }
}

/// A type that a handler may return.
///
/// It is implemented for `()`, for every message that is `Serialize`, for [`serde_json::Value`],
/// for [`Outcome`], and for `Option` and `Result` of these. The return types of
/// [`WebSocket::join`](crate::WebSocket::join), `leave` and `set_user` are accepted as well and
/// produce no answer. The error of a `Result` can be any type that converts into [`HandlerError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a valid handler return type",
    label = "neither `()` nor a message that can be sent",
    note = "return `()`, a message to reply with, or an `Option` or `Result` of either",
    note = "a message to reply with derives `aiows::Message` and `serde::Serialize`",
    note = "the error of a `Result` must be `aiows::HandlerError`, or convert into it as every `std::error::Error` does"
)]
pub trait IntoOutcome {
    /// Encodes the value as the answer to the call.
    ///
    /// # Errors
    ///
    /// Returns the handler's own error, or an internal error if the value cannot be encoded.
    fn into_outcome(self, call: &Call) -> Result<Outcome, HandlerError>;
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for () {
    fn into_outcome(self, _call: &Call) -> Result<Outcome, HandlerError> {
        Ok(Outcome { answer: None })
    }
}

/// Lets a handler end with the call that changes a membership.
macro_rules! without_answer {
    ($($change:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoOutcome for $change {
            fn into_outcome(self, call: &Call) -> Result<Outcome, HandlerError> {
                ().into_outcome(call)
            }
        }
    )*};
}

without_answer!(Joined, Left, UserChange);

#[diagnostic::do_not_recommend]
impl IntoOutcome for Outcome {
    fn into_outcome(self, _call: &Call) -> Result<Outcome, HandlerError> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Outgoing> IntoOutcome for M {
    fn into_outcome(self, call: &Call) -> Result<Outcome, HandlerError> {
        let answer = encode(call.websocket().tag(), call.id(), &self)?;
        Ok(Outcome { answer: Some(answer) })
    }
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for Value {
    fn into_outcome(self, call: &Call) -> Result<Outcome, HandlerError> {
        let Self::Object(object) = self else {
            return Err("a handler returned a JSON value that is not an object".into());
        };
        Ok(Outcome { answer: Some(encode_value(call.websocket().tag(), &object, call.id())?) })
    }
}

#[diagnostic::do_not_recommend]
impl<R: IntoOutcome> IntoOutcome for Option<R> {
    fn into_outcome(self, call: &Call) -> Result<Outcome, HandlerError> {
        match self {
            Some(answer) => answer.into_outcome(call),
            None => ().into_outcome(call),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<R: IntoOutcome, E: Into<HandlerError>> IntoOutcome for Result<R, E> {
    fn into_outcome(self, call: &Call) -> Result<Outcome, HandlerError> {
        self.map_err(Into::into)?.into_outcome(call)
    }
}
