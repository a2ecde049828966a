//! Errors that a client can cause. They are visible, because they are not errors of the server.

use std::error::Error as StdError;

use super::handler::Source;
use super::text::causes;
use super::{HandlerError, RequestError, SendError, code};

impl<E: Into<Source>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let source = error.into();
        let Some((code, message)) = causes(&*source).find_map(visible) else {
            return Self::internal(source);
        };
        Self::caused(code, message, source)
    }
}

/// Returns the code and the message that the client receives, for a failure that was caused by a
/// client or by the end of a connection.
fn visible(error: &(dyn StdError + 'static)) -> Option<(&'static str, &'static str)> {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(error), _) => visible_send(error),
        (_, Some(error)) => visible_request(error),
        (None, None) => None,
    }
}

fn visible_send(error: &SendError) -> Option<(&'static str, &'static str)> {
    match error {
        SendError::Closed => Some((code::UNAVAILABLE, "the connection is closing")),
        SendError::Full => Some((code::QUEUE_FULL, "the client does not read fast enough")),
        SendError::NotMember => Some((code::FORBIDDEN, "join the room first")),
        SendError::Encode(_) | SendError::NoNamespace | SendError::NoRoom => None,
    }
}

fn visible_request(error: &RequestError) -> Option<(&'static str, &'static str)> {
    Some(match error {
        RequestError::Closed => (code::UNAVAILABLE, "the connection is closing"),
        RequestError::Congested => (code::CONGESTED, "too much waits before the client's answer"),
        RequestError::Invalid(_) => (code::INVALID_ANSWER, "the client's answer is not valid"),
        RequestError::NotSent(error) => return visible_send(error),
        RequestError::Refused { .. } => {
            (code::QUESTION_REFUSED, "the client answered with an error")
        }
        RequestError::Timeout => (code::NO_ANSWER, "the client did not answer in time"),
        RequestError::TooMany => {
            (code::TOO_MANY_QUESTIONS, "the client has too many questions to answer")
        }
    })
}
