//! Finds the handler of a message.

use super::compiled::{CompiledHandler, CompiledRouter, Report};
use crate::codec::{check_nesting, leading_type, read_head};
use crate::error::{HandlerError, closing, code};
use crate::extract::RequestId;
use crate::id::MessageId;
use crate::protocol::Inbound;

/// The result of routing a message.
#[derive(Debug)]
pub(crate) enum RouteMatch<'a> {
    /// A handler, and the id of the message as far as it is read.
    Handler(&'a CompiledHandler, RequestId),
    /// No handler takes the message.
    Unrouted(Unrouted),
}

/// A message without a handler.
#[derive(Debug)]
pub(crate) struct Unrouted {
    pub(crate) error: HandlerError,
    pub(crate) report: Report,
    pub(crate) id: Option<MessageId>,
    pub(crate) message_type: Option<String>,
}

impl From<HandlerError> for Unrouted {
    fn from(error: HandlerError) -> Self {
        Self { error, report: Report::ErrorFrame, id: None, message_type: None }
    }
}

impl Unrouted {
    /// The error for a frame that is not text, if the relay takes only text.
    #[cold]
    fn not_text() -> Self {
        let error = HandlerError::new(code::UNSUPPORTED_DATA, closing::NOT_TEXT.reason);
        Self { report: Report::Close, ..error.close(closing::NOT_TEXT.code).into() }
    }

    #[cold]
    fn unknown_type(message_type: String, id: Option<MessageId>) -> Self {
        let error = HandlerError::new(code::UNKNOWN_TYPE, "no handler serves this message type");
        Self { id, message_type: Some(message_type), ..error.into() }
    }
}

impl CompiledRouter {
    /// Finds the handler of a message, and parses no more of the message than necessary.
    ///
    /// A relay takes every frame that is not a message of another handler.
    #[inline]
    pub(crate) fn resolve(&self, inbound: &Inbound) -> RouteMatch<'_> {
        let found = match self.relay() {
            None => self.find(inbound),
            Some(relay) if !relay.takes(inbound) => Err(Unrouted::not_text()),
            // A frame that does not begin like an object is not parsed.
            Some(relay) if self.only_relays() || !begins_like_object(inbound) => {
                Ok((relay, RequestId::Absent))
            }
            // The relay is the fallback, so the frame is not a message if no handler takes it.
            Some(relay) => Ok(self.find(inbound).unwrap_or((relay, RequestId::Absent))),
        };
        match found {
            Ok((handler, id)) => RouteMatch::Handler(handler, id),
            Err(unrouted) => RouteMatch::Unrouted(unrouted),
        }
    }

    fn find(&self, inbound: &Inbound) -> Result<(&CompiledHandler, RequestId), Unrouted> {
        let Some(text) = inbound.as_text() else {
            return Err(HandlerError::new(code::INVALID_JSON, "the message is not UTF-8").into());
        };
        check_nesting(text, self.limits.nesting)?;
        let handler_of = |message_type: &str| {
            let found = self.messages.binary_search_by(|(known, _)| (**known).cmp(message_type));
            Some(&self.messages[found.ok()?].1)
        };
        // A handler that decodes the payload checks the rest of the message. Checking all of it
        // here as well would double the work.
        if let Some(message_type) = leading_type(&self.tag, text)
            && let Some(handler) = handler_of(message_type)
            && handler.decodes
        {
            return Ok((handler, RequestId::Unread));
        }
        let head = read_head(&self.tag, text)?;
        let message_type = &*head.message_type;
        match handler_of(message_type).or_else(|| self.fallback_of(message_type)) {
            Some(handler) if handler.is_relay() => Ok((handler, RequestId::Absent)),
            Some(handler) => Ok((handler, head.id.into())),
            None => Err(Unrouted::unknown_type(head.message_type.into_owned(), head.id)),
        }
    }
}

fn begins_like_object(inbound: &Inbound) -> bool {
    inbound.bytes().trim_ascii_start().first() == Some(&b'{')
}
