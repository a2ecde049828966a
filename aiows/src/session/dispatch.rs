//! One message: which handler it goes to, and what is answered.

use super::Session;
use super::drive::{drive, start};
use crate::call::{Call, Received, Stage};
use crate::codec::{check_nesting, encode, leading_type, read_head};
use crate::error::{HandlerError, code};
use crate::id::MessageId;
use crate::message::ErrorFrame;
use crate::outbox::CloseWish;
use crate::outcome::Outcome;
use crate::router::{Endpoint, Frozen, Target};
use crate::transport::Inbound;
use crate::websocket::WebSocket;

/// The message type of an acknowledgement.
const ACK: &str = "ack";

/// A message type the peer made up is repeated in an error only if it is short, in bytes.
const MAX_ECHOED_TYPE: usize = 64;

/// Where a message goes.
struct Aim<'a> {
    endpoint: &'a Endpoint,
    /// The request id, if the head was read on the way.
    id: Option<Option<MessageId>>,
}

/// Why a message goes nowhere.
struct Missed {
    error: HandlerError,
    id: Option<MessageId>,
    message_type: Option<String>,
}

impl From<HandlerError> for Missed {
    fn from(error: HandlerError) -> Self {
        Self { error, id: None, message_type: None }
    }
}

impl Session {
    /// Handles one message; `false` when the connection ended meanwhile.
    pub(super) async fn handle(&mut self, router: &Frozen, inbound: Inbound) -> bool {
        let inbound = inbound.into_text_if_utf8();
        let Aim { endpoint, id } = match aim(router, &inbound, self.limits.nesting) {
            Ok(aim) => aim,
            Err(Missed { error, id, message_type }) => {
                self.push_error(&error, id.as_ref(), message_type.as_deref());
                return true;
            }
        };
        let call = self.call_with(endpoint, Received::new(inbound, id));
        self.socket.begin_handling();
        let Some(returned) = drive(&mut self.link, start(endpoint, &call)).await else {
            return false;
        };
        match returned.and_then(|outcome| self.settle(outcome, &call)) {
            Ok(()) => {}
            Err(error) => self.refuse(error, endpoint, &call),
        }
        self.keep(call);
        true
    }

    fn call_with(&mut self, endpoint: &Endpoint, received: Received) -> Call {
        let stage = Stage::Message(received);
        match self.call.take() {
            Some(mut call) => {
                call.reuse(&endpoint.state, stage);
                call
            }
            None => self.call_for(endpoint, stage),
        }
    }

    /// Keeps a call for the next message, without the message it was made for.
    fn keep(&mut self, mut call: Call) {
        if call.rest() {
            self.call = Some(call);
        }
    }

    /// Sends the handler's answer, or the acknowledgement a request without one gets.
    fn settle(&mut self, outcome: Outcome, call: &Call) -> Result<(), HandlerError> {
        let replied = self.socket.end_handling(call.id());
        match (outcome.into_answer(), call.id()) {
            (Some(answer), _) => self.link.answer(answer),
            (None, Some(id)) if !replied => {
                self.link.answer(encode(self.socket.tag(), ACK, Some(id), &())?);
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Answers a message whose handler failed.
    fn refuse(&mut self, error: HandlerError, endpoint: &Endpoint, call: &Call) {
        log(&error, endpoint, &self.socket);
        self.socket.end_handling(None);
        // What is wrong with the head is told first, also when an extractor failed before it was
        // looked at.
        let error = match call.is_head_known() {
            true => error,
            false => call.head_fault().unwrap_or(error),
        };
        self.push_error(&error, call.id(), call.message_type().as_deref());
        if let Some(code) = error.close_code() {
            let wish = CloseWish::application(code, error.message());
            self.socket.outbox().wish_close(wish);
        }
    }

    pub(super) fn push_error(
        &mut self,
        error: &HandlerError,
        id: Option<&MessageId>,
        message_type: Option<&str>,
    ) {
        let message_type = message_type.filter(|name| name.len() <= MAX_ECHOED_TYPE);
        let frame = ErrorFrame::new(error, message_type);
        match encode(self.socket.tag(), ErrorFrame::TYPE, id, &frame) {
            Ok(frame) => self.link.answer(frame),
            Err(error) => tracing::error!(%error, "an error frame could not be encoded"),
        }
    }
}

/// Finds the handler of a message, reading no more of it than that takes.
fn aim<'a>(router: &'a Frozen, inbound: &Inbound, nesting: usize) -> Result<Aim<'a>, Missed> {
    let missed = match find(router, inbound, nesting) {
        Ok(aim) => return Ok(aim),
        Err(missed) => missed,
    };
    let no_message = matches!(missed.error.code(), code::INVALID_JSON | code::INVALID_MESSAGE);
    match router.frame_fallback(inbound.as_text().is_some()) {
        Some(endpoint) if no_message => Ok(Aim { endpoint, id: Some(None) }),
        _ => Err(missed),
    }
}

fn find<'a>(router: &'a Frozen, inbound: &Inbound, nesting: usize) -> Result<Aim<'a>, Missed> {
    let Some(text) = inbound.as_text() else {
        return Err(HandlerError::new(code::INVALID_JSON, "the message is not UTF-8").into());
    };
    check_nesting(text, nesting)?;
    if let Some(message_type) = leading_type(&router.tag, text)
        && let Target::Message(endpoint) = router.target(message_type)
        && endpoint.decodes
    {
        return Ok(Aim { endpoint, id: None });
    }
    let head = read_head(&router.tag, text)?;
    match router.target(&head.message_type) {
        Target::Message(endpoint) | Target::Fallback(endpoint) => {
            Ok(Aim { endpoint, id: Some(head.id) })
        }
        Target::Unknown => Err(Missed {
            error: HandlerError::new(code::UNKNOWN_TYPE, "no handler serves this message type"),
            id: head.id,
            message_type: Some(head.message_type.into_owned()),
        }),
    }
}

/// Logs why a handler failed; the peer's own mistakes are no news.
pub(super) fn log(error: &HandlerError, endpoint: &Endpoint, socket: &WebSocket) {
    let (connection, handler) = (socket.id(), &endpoint.title);
    match error.error_id() {
        Some(_) if error.is_closed() => {
            tracing::debug!(%connection, %handler, "the peer left while its handler was sending");
        }
        Some(error_id) => {
            tracing::error!(%connection, %handler, error_id, %error, "handler failed")
        }
        None => tracing::debug!(%connection, %handler, %error, "handler refused"),
    }
}
