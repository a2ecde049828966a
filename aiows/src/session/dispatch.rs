//! One message: which handler it goes to.

use std::ops::ControlFlow;

use super::Session;
use super::drive::{drive, start_handler};
use crate::codec::{check_nesting, leading_type, read_head};
use crate::error::{HandlerError, closing, code};
use crate::extract::{Call, Received, RequestId, Stage};
use crate::id::MessageId;
use crate::protocol::Inbound;
use crate::router::{CompiledHandler, CompiledRouter, RouteMatch};

/// Where a message goes.
struct Matched<'a> {
    endpoint: &'a CompiledHandler,
    id: RequestId,
}

/// Why a message goes nowhere.
pub(super) struct Missed {
    pub(super) error: HandlerError,
    pub(super) report: Report,
    pub(super) id: Option<MessageId>,
    pub(super) message_type: Option<String>,
}

/// What reports an error to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    ErrorFrame,
    /// The close frame alone, because an error frame would become part of a foreign stream.
    Close,
}

impl From<HandlerError> for Missed {
    fn from(error: HandlerError) -> Self {
        Self { error, report: Report::ErrorFrame, id: None, message_type: None }
    }
}

impl Missed {
    fn is_no_message(&self) -> bool {
        matches!(self.error.code(), code::INVALID_JSON | code::INVALID_MESSAGE)
    }
}

impl Session {
    /// Handles one message; `Break` when the connection ended meanwhile.
    pub(super) async fn handle(
        &mut self,
        router: &CompiledRouter,
        inbound: Inbound,
    ) -> ControlFlow<()> {
        let inbound = inbound.into_text_if_utf8();
        // What is rare is boxed, so that an idle connection keeps no room for it.
        let Matched { endpoint, id } = match match_handler(router, &inbound, self.io.limits.nesting)
        {
            Ok(matched) => matched,
            Err(missed) => return Box::pin(self.answer_missed(router, inbound, missed)).await,
        };
        let call = self.call_with(endpoint, Received::new(inbound, id));
        // Middleware is not asked about a message that is none, as far as that is known: decoding the
        // payload checks the rest, and to read all of it before would double the work.
        let unsure = endpoint.is_layered && !endpoint.decodes;
        let sound = if unsure { call.check_head() } else { Ok(()) };
        self.socket.begin_handling();
        let returned = match sound {
            Ok(()) => drive(&mut self.io, start_handler(endpoint, &call), &endpoint.title).await,
            Err(fault) => ControlFlow::Continue(Err(fault)),
        };
        if let Err(error) = returned?.and_then(|outcome| self.send_answer(outcome, &call)) {
            Box::pin(self.answer_failed(error, router, endpoint, &call)).await?;
        }
        self.keep(call);
        ControlFlow::Continue(())
    }

    fn call_with(&mut self, endpoint: &CompiledHandler, received: Received) -> Call {
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
        // It was allocated beside the large buffer, see `ConnectionIo`.
        let large = call.inbound().is_some_and(Inbound::is_large);
        if !large && call.clear_message() {
            self.call = Some(call);
        }
    }

    /// Hands a text to the relay after another handler has found that it is no message. Returns `Break` if
    /// the connection ended meanwhile.
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

/// Finds the handler of a message, reading no more of it than that takes.
#[inline]
fn match_handler<'a>(
    router: &'a CompiledRouter,
    inbound: &Inbound,
    nesting: usize,
) -> Result<Matched<'a>, Missed> {
    match router.relay() {
        None => find(router, inbound, nesting),
        Some(relay) => match_beside_relay(relay, router, inbound, nesting),
    }
}

/// Finds the handler of a frame where a relay takes what is no message of another handler.
fn match_beside_relay<'a>(
    relay: &'a CompiledHandler,
    router: &'a CompiledRouter,
    inbound: &Inbound,
    nesting: usize,
) -> Result<Matched<'a>, Missed> {
    if !relay.takes(inbound) {
        return Err(not_text());
    }
    let relayed = Matched { endpoint: relay, id: RequestId::Absent };
    // A frame that does not begin like a message is not parsed.
    if router.only_relays() || inbound.bytes().trim_ascii_start().first() != Some(&b'{') {
        return Ok(relayed);
    }
    match find(router, inbound, nesting) {
        Err(missed) if missed.is_no_message() => Ok(relayed),
        found => found,
    }
}

/// A relay of text has no error frame for what it does not take.
#[cold]
fn not_text() -> Missed {
    let error = HandlerError::new(code::UNSUPPORTED_DATA, closing::NOT_TEXT.reason);
    Missed { report: Report::Close, ..error.close(closing::NOT_TEXT.code).into() }
}

fn find<'a>(
    router: &'a CompiledRouter,
    inbound: &Inbound,
    nesting: usize,
) -> Result<Matched<'a>, Missed> {
    let Some(text) = inbound.as_text() else {
        return Err(HandlerError::new(code::INVALID_JSON, "the message is not UTF-8").into());
    };
    check_nesting(text, nesting)?;
    if let Some(message_type) = leading_type(&router.tag, text)
        && let RouteMatch::Message(endpoint) = router.target(message_type)
        && endpoint.decodes
    {
        return Ok(Matched { endpoint, id: RequestId::Unread });
    }
    let head = read_head(&router.tag, text)?;
    match router.target(&head.message_type) {
        RouteMatch::Fallback(endpoint) if endpoint.is_relay() => {
            Ok(Matched { endpoint, id: RequestId::Absent })
        }
        RouteMatch::Message(endpoint) | RouteMatch::Fallback(endpoint) => {
            Ok(Matched { endpoint, id: head.id.into() })
        }
        RouteMatch::Unknown => Err(Missed {
            id: head.id,
            message_type: Some(head.message_type.into_owned()),
            ..HandlerError::new(code::UNKNOWN_TYPE, "no handler serves this message type").into()
        }),
    }
}
