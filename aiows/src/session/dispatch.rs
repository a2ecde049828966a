//! One message: which handler it goes to, and what is answered.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Session;
use super::drive::{drive, start};
use crate::close::CloseCode;
use crate::codec::{check_nesting, encode, encode_builtin, leading_type, read_head};
use crate::error::{HandlerError, code};
use crate::extract::{Call, Received, RequestId, Stage};
use crate::handler::Outcome;
use crate::id::MessageId;
use crate::message::ErrorFrame;
use crate::middleware::ErrorHooks;
use crate::protocol::Inbound;
use crate::router::{CompiledHandler, CompiledRouter, RouteMatch};

/// The message type of an acknowledgement.
const ACK: &str = "ack";

/// A message type the peer made up is repeated in an error only if it is short, in bytes.
const MAX_ECHOED_TYPE: usize = 64;

/// Where a message goes.
struct Matched<'a> {
    endpoint: &'a CompiledHandler,
    id: RequestId,
}

/// Why a message goes nowhere.
struct Missed {
    error: HandlerError,
    report: Report,
    id: Option<MessageId>,
    message_type: Option<String>,
}

/// What reports an error to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
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
            Err(missed) => return Box::pin(self.miss(router, inbound, missed)).await,
        };
        let call = self.call_with(endpoint, Received::new(inbound, id));
        // Middleware is not asked about a message that is none, as far as that is known: decoding the
        // payload checks the rest, and to read all of it before would double the work.
        let unsure = endpoint.is_layered && !endpoint.decodes;
        let sound = if unsure { call.check_head() } else { Ok(()) };
        self.socket.begin_handling();
        let returned = match sound {
            Ok(()) => drive(&mut self.io, start(endpoint, &call), &endpoint.title).await,
            Err(fault) => ControlFlow::Continue(Err(fault)),
        };
        if let Err(error) = returned?.and_then(|outcome| self.settle(outcome, &call)) {
            Box::pin(self.refuse(error, router, endpoint, &call)).await?;
        }
        self.keep(call);
        ControlFlow::Continue(())
    }

    /// Answers a message that no handler gets; `Break` when the connection ended meanwhile.
    async fn miss(
        &mut self,
        router: &CompiledRouter,
        inbound: Inbound,
        missed: Missed,
    ) -> ControlFlow<()> {
        let Missed { mut error, report, id, message_type } = missed;
        if !router.errors.is_empty() {
            let stage = Stage::Message(Received::new(inbound, id.clone().into()));
            let call = Call::new(self.socket.clone(), Arc::clone(&router.state), stage);
            let errors = &router.errors;
            error = self.review_by(errors, "middleware", &call, error).await?;
        }
        match report {
            Report::ErrorFrame => self.tell(&error, id.as_ref(), message_type.as_deref()),
            Report::Close => self.close_for(&error),
        }
        ControlFlow::Continue(())
    }

    /// Shows a failure to the middleware that wants to see it; `Break` when the connection ended, or when
    /// nothing is left of the failure.
    pub(super) async fn review(
        &mut self,
        endpoint: &CompiledHandler,
        call: &Call,
        error: HandlerError,
    ) -> ControlFlow<(), HandlerError> {
        if endpoint.errors.is_empty() {
            return ControlFlow::Continue(error);
        }
        self.review_by(&endpoint.errors, &endpoint.title, call, error).await
    }

    async fn review_by(
        &mut self,
        errors: &ErrorHooks,
        title: &str,
        call: &Call,
        error: HandlerError,
    ) -> ControlFlow<(), HandlerError> {
        let known = error.error_id().map(str::to_owned);
        let review = errors.review(0, call.clone(), error);
        let Err(error) = drive(&mut self.io, review, title).await? else {
            return ControlFlow::Break(());
        };
        if let Some(error_id) = error.error_id()
            && known.as_deref() != Some(error_id)
        {
            let connection = self.socket.id();
            tracing::error!(%connection, error_id, %error, "middleware replaced an error");
        }
        ControlFlow::Continue(error)
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

    /// Sends the handler's answer, or the acknowledgement a request without one gets.
    pub(super) fn settle(&mut self, outcome: Outcome, call: &Call) -> Result<(), HandlerError> {
        // Middleware may have answered without the handler, which would have looked.
        call.check_head()?;
        let id = call.id();
        let replied = self.socket.end_handling(id);
        match (outcome.into_answer(), id) {
            (Some(answer), _) => self.io.answer(answer),
            (None, Some(id)) if !replied => {
                self.io.answer(encode(self.socket.tag(), ACK, Some(id), &())?);
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Answers a message whose handler failed; `Break` when the connection ended meanwhile.
    async fn refuse(
        &mut self,
        error: HandlerError,
        router: &CompiledRouter,
        endpoint: &CompiledHandler,
        call: &Call,
    ) -> ControlFlow<()> {
        if endpoint.is_relay() {
            return self.refuse_relayed(error, endpoint, call).await;
        }
        endpoint.log(&error, &self.socket);
        self.socket.end_handling(None);
        // What is wrong with the head is told first, also when an extractor failed before it was
        // looked at.
        let fault = if call.is_head_known() { None } else { call.head_error() };
        if let (Some(_), Some(relay)) = (&fault, router.relay()) {
            return self.relay(relay, call).await;
        }
        let error = fault.unwrap_or(error);
        let error = self.review(endpoint, call, error).await?;
        self.tell(&error, call.id(), call.message_type().as_deref());
        ControlFlow::Continue(())
    }

    /// Sends an error, and closes the connection if the error says so.
    fn tell(&mut self, error: &HandlerError, id: Option<&MessageId>, message_type: Option<&str>) {
        self.push_error(error, id, message_type);
        if let Some(code) = error.close_code() {
            self.socket.close(code, error.message());
        }
    }

    pub(super) fn push_error(
        &mut self,
        error: &HandlerError,
        id: Option<&MessageId>,
        message_type: Option<&str>,
    ) {
        let message_type = message_type.filter(|name| name.len() <= MAX_ECHOED_TYPE);
        let frame = ErrorFrame::new(error, message_type, Some(self.socket.id()));
        match encode_builtin(self.socket.tag(), ErrorFrame::TYPE, id, &frame) {
            Ok(frame) => self.io.answer(frame),
            Err(error) => {
                let connection = self.socket.id();
                tracing::error!(%connection, %error, "an error frame could not be encoded");
            }
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
    let error = HandlerError::new(code::UNSUPPORTED_DATA, "Binary data that is not UTF-8");
    Missed { report: Report::Close, ..error.close(CloseCode::UNSUPPORTED).into() }
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
