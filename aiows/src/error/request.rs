use std::error::Error as StdError;
use std::fmt;

use super::{HandlerError, SendError};

/// Why a question to a client has no answer.
///
/// In a handler `?` makes it a visible error whose code says what happened, such as `question_refused`
/// or `no_answer`; the guide has the [list](crate::guide::errors#codes). The client whose message is being
/// handled is told no more, since another one may have been asked. What a client has written is in the
/// fields and not in the text, so it does not get into a log by itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection has ended or is about to: the peer leaves, it was closed, or the server stops.
    Closed,
    /// The client sent so much else before the answer that no more is read: see
    /// [`Limits::inbound_size`](crate::Limits::inbound_size).
    Congested,
    /// The answer is of another type than was asked for, or its fields are refused; the error says which.
    Invalid(HandlerError),
    /// The client has answered with a message of type `error`.
    Refused {
        /// Its `code`, a number as it was written, or nothing if it is neither text nor number; cut at
        /// 64 bytes.
        code: String,
        /// Its `message`, likewise; cut at 4 KiB.
        message: String,
    },
    /// The question was not queued.
    NotSent(SendError),
    /// No answer came in time.
    Timeout,
    /// 64 questions of this connection wait for their answers.
    TooMany,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed before the client answered"),
            Self::Congested => f.write_str("too many messages wait before the client's answer"),
            Self::Invalid(error) => write!(f, "the client's answer is invalid: {error}"),
            Self::Refused { .. } => f.write_str("the client answered with an error"),
            Self::NotSent(_) => f.write_str("the client could not be asked"),
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
