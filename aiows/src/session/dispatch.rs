//! Finding the handler of a message, and running it.

use std::ops::ControlFlow;

use super::Session;
use super::drive::{drive, start_handler};
use crate::codec::{check_nesting, leading_type, read_head};
use crate::error::{HandlerError, closing, code};
use crate::extract::{Call, Received, RequestId, Stage};
use crate::id::MessageId;
use crate::protocol::Inbound;
use crate::router::{CompiledHandler, CompiledRouter, RouteMatch};

/// The handler of a message.
struct Matched<'a> {
    handler: &'a CompiledHandler,
    /// The id of the message, as far as it is read.
    id: RequestId,
}

/// A message without a handler.
pub(super) struct Unrouted {
    pub(super) error: HandlerError,
    pub(super) report: Report,
    pub(super) id: Option<MessageId>,
    pub(super) message_type: Option<String>,
}

/// The frame that reports an error to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    ErrorFrame,
    /// Only the close frame, because an error frame would become part of another protocol's stream.
    Close,
}

impl From<HandlerError> for Unrouted {
    fn from(error: HandlerError) -> Self {
        Self { error, report: Report::ErrorFrame, id: None, message_type: None }
    }
}

impl Unrouted {
    fn is_malformed(&self) -> bool {
        matches!(self.error.code(), code::INVALID_JSON | code::INVALID_MESSAGE)
    }
}

impl Session {
    /// Handles one message; `Break` if the connection ended in the meantime.
    pub(super) async fn handle(
        &mut self,
        router: &CompiledRouter,
        inbound: Inbound,
    ) -> ControlFlow<()> {
        let inbound = inbound.into_text_if_utf8();
        // Rare branches are boxed, so that an idle connection keeps no room for their futures.
        let Matched { handler, id } = match match_handler(router, &inbound, self.io.limits.nesting)
        {
            Ok(matched) => matched,
            Err(unrouted) => {
                return Box::pin(self.answer_unrouted(router, inbound, unrouted)).await;
            }
        };
        let call = self.call_with(handler, Received::new(inbound, id));
        // Middleware must not see a message that is known to be malformed. If the handler decodes
        // the payload, that checks the rest of the message; checking all of it here as well would
        // double the work.
        let unsure = handler.is_layered && !handler.decodes;
        let sound = if unsure { call.check_head() } else { Ok(()) };
        self.socket.begin_handling();
        let returned = match sound {
            Ok(()) => drive(&mut self.io, start_handler(handler, &call), &handler.title).await,
            Err(fault) => ControlFlow::Continue(Err(fault)),
        };
        if let Err(error) = returned?.and_then(|outcome| self.send_answer(outcome, &call)) {
            Box::pin(self.answer_failed(error, router, handler, &call)).await?;
        }
        self.keep(call);
        ControlFlow::Continue(())
    }

    fn call_with(&mut self, handler: &CompiledHandler, received: Received) -> Call {
        let stage = Stage::Message(received);
        match self.call.take() {
            Some(mut call) => {
                call.reuse(&handler.state, stage);
                call
            }
            None => self.call_for(handler, stage),
        }
    }

    /// Keeps a call for the next message, without its current message.
    fn keep(&mut self, mut call: Call) {
        // A call that was allocated beside a large buffer is not kept, see `Inbox::pop`.
        let large = call.inbound().is_some_and(Inbound::is_large);
        if !large && call.clear_message() {
            self.call = Some(call);
        }
    }

    /// Passes a text to the relay after another handler has found that it is not a message. Returns
    /// `Break` if the connection ended in the meantime.
    pub(super) async fn relay(&mut self, relay: &CompiledHandler, found: &Call) -> ControlFlow<()> {
        let Some(inbound) = found.inbound().cloned() else { return ControlFlow::Continue(()) };
        let call = self.call_for(relay, Stage::Message(Received::new(inbound, RequestId::Absent)));
        self.socket.begin_handling();
        let returned = drive(&mut self.io, start_handler(relay, &call), &relay.title).await?;
        match returned.and_then(|outcome| self.send_answer(outcome, &call)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.close_failed_relay(error, relay, &call).await,
        }
    }
}

/// Finds the handler of a message, and parses no more of the message than necessary.
#[inline]
fn match_handler<'a>(
    router: &'a CompiledRouter,
    inbound: &Inbound,
    nesting: usize,
) -> Result<Matched<'a>, Unrouted> {
    match router.relay() {
        None => find(router, inbound, nesting),
        Some(relay) => match_with_relay(relay, router, inbound, nesting),
    }
}

/// Finds the handler of a frame if there is a relay, which takes every frame that is not a message
/// of another handler.
fn match_with_relay<'a>(
    relay: &'a CompiledHandler,
    router: &'a CompiledRouter,
    inbound: &Inbound,
    nesting: usize,
) -> Result<Matched<'a>, Unrouted> {
    if !relay.takes(inbound) {
        return Err(not_text());
    }
    let relayed = Matched { handler: relay, id: RequestId::Absent };
    // A frame that does not begin like an object is not parsed.
    if router.only_relays() || inbound.bytes().trim_ascii_start().first() != Some(&b'{') {
        return Ok(relayed);
    }
    match find(router, inbound, nesting) {
        Err(unrouted) if unrouted.is_malformed() => Ok(relayed),
        found => found,
    }
}

/// Returns the error for a frame that is not text, if the relay takes only text. It is reported
/// without an error frame.
#[cold]
fn not_text() -> Unrouted {
    let error = HandlerError::new(code::UNSUPPORTED_DATA, closing::NOT_TEXT.reason);
    Unrouted { report: Report::Close, ..error.close(closing::NOT_TEXT.code).into() }
}

fn find<'a>(
    router: &'a CompiledRouter,
    inbound: &Inbound,
    nesting: usize,
) -> Result<Matched<'a>, Unrouted> {
    let Some(text) = inbound.as_text() else {
        return Err(HandlerError::new(code::INVALID_JSON, "the message is not UTF-8").into());
    };
    check_nesting(text, nesting)?;
    if let Some(message_type) = leading_type(&router.tag, text)
        && let RouteMatch::Message(handler) = router.target(message_type)
        && handler.decodes
    {
        return Ok(Matched { handler, id: RequestId::Unread });
    }
    let head = read_head(&router.tag, text)?;
    match router.target(&head.message_type) {
        RouteMatch::Fallback(handler) if handler.is_relay() => {
            Ok(Matched { handler, id: RequestId::Absent })
        }
        RouteMatch::Message(handler) | RouteMatch::Fallback(handler) => {
            Ok(Matched { handler, id: head.id.into() })
        }
        RouteMatch::Unknown => Err(Unrouted {
            id: head.id,
            message_type: Some(head.message_type.into_owned()),
            ..HandlerError::new(code::UNKNOWN_TYPE, "no handler serves this message type").into()
        }),
    }
}
