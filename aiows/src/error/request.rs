//! The type [`RequestError`].

use std::error::Error as StdError;
use std::fmt;

use super::{HandlerError, SendError};

/// The error of a [`WebSocket::request`](crate::WebSocket::request) that got no valid answer.
///
/// If a handler returns it with `?`, it is a visible error with a code such as `question_refused`
/// or `no_answer`. The guide has a [list](crate::guide::errors#codes). The client whose message the
/// handler handles receives no more than the code, because the request may have been sent to
/// another client. The text of the error contains no input of the client, so that none gets into a
/// log by accident. You find this input in the fields.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection has ended or is about to: the client has left, the connection was closed, or
    /// the server shuts down.
    Closed,
    /// The client has sent so many bytes before the answer that the server does not read more, see
    /// [`Limits::inbound_size`](crate::Limits::inbound_size).
    Congested,
    /// The answer has another message type, or its fields are invalid. The error describes which.
    Invalid(HandlerError),
    /// The client has answered with a message of type `error`.
    Refused {
        /// The `code` of the answer, cut at 64 bytes. A number is kept as it was written; any other
        /// value is replaced by an empty text.
        code: String,
        /// The `message` of the answer, cut at 4 KiB. A number is kept as it was written; any other
        /// value is replaced by an empty text.
        message: String,
    },
    /// The request could not be queued.
    NotSent(SendError),
    /// The answer did not arrive in time.
    Timeout,
    /// 64 requests of this connection already wait for their answers.
    TooMany,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed before the client answered"),
            Self::Congested => f.write_str("too many messages wait before the client's answer"),
            Self::Invalid(error) => write!(f, "the client's answer is invalid: {error}"),
            Self::Refused { .. } => f.write_str("the client answered with an error"),
            Self::NotSent(_) => f.write_str("the request to the client could not be queued"),
            Self::Timeout => f.write_str("the client did not answer in time"),
            Self::TooMany => f.write_str("the client has too many questions to answer"),
        }
    }
}

impl StdError for RequestError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotSent(error) => Some(error),
            Self::Closed
            | Self::Congested
            | Self::Invalid(_)
            | Self::Refused { .. }
            | Self::Timeout
            | Self::TooMany => None,
        }
    }
}

impl From<SendError> for RequestError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed => Self::Closed,
            error => Self::NotSent(error),
        }
    }
}
