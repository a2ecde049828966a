//! Responses to a message: its answer, an acknowledgement, or an error.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Session;
use super::dispatch::{Report, Unrouted};
use super::drive::drive;
use crate::close::CloseCode;
use crate::codec::{encode, encode_builtin};
use crate::error::{HandlerError, closing};
use crate::extract::{Call, Received, Stage};
use crate::handler::Outcome;
use crate::id::MessageId;
use crate::message::ErrorFrame;
use crate::middleware::ErrorHooks;
use crate::protocol::Inbound;
use crate::router::{CompiledHandler, CompiledRouter};

/// The message type of an acknowledgement.
const ACK: &str = "ack";

/// An unknown message type is repeated in an error only up to this length, in bytes.
const MAX_ECHOED_TYPE: usize = 64;

impl Session {
    /// Sends the handler's answer, or the acknowledgement if a request has none.
    pub(super) fn send_answer(
        &mut self,
        outcome: Outcome,
        call: &Call,
    ) -> Result<(), HandlerError> {
        // Middleware may have answered without calling the handler, which would have checked the
        // head.
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

    /// Reports an error for a message without a handler; `Break` if the connection ended in the
    /// meantime.
    pub(super) async fn answer_unrouted(
        &mut self,
        router: &CompiledRouter,
        inbound: Inbound,
        unrouted: Unrouted,
    ) -> ControlFlow<()> {
        let Unrouted { mut error, report, id, message_type } = unrouted;
        if !router.errors.is_empty() {
            let stage = Stage::Message(Received::new(inbound, id.clone().into()));
            let call = Call::new(self.socket.clone(), Arc::clone(&router.state), stage);
            let errors = &router.errors;
            error = self.review_by(errors, "middleware", &call, error).await?;
        }
        match report {
            Report::ErrorFrame => self.send_error(&error, id.as_ref(), message_type.as_deref()),
            Report::Close => self.close_for(&error),
        }
        ControlFlow::Continue(())
    }

    /// Passes an error to the error hooks of the middleware; `Break` if the connection ended, or if
    /// no error is left.
    pub(super) async fn review(
        &mut self,
        handler: &CompiledHandler,
        call: &Call,
        error: HandlerError,
    ) -> ControlFlow<(), HandlerError> {
        if handler.errors.is_empty() {
            return ControlFlow::Continue(error);
        }
        self.review_by(&handler.errors, &handler.title, call, error).await
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

    /// Reports the error of a handler; `Break` if the connection ended in the meantime.
    pub(super) async fn answer_failed(
        &mut self,
        error: HandlerError,
        router: &CompiledRouter,
        handler: &CompiledHandler,
        call: &Call,
    ) -> ControlFlow<()> {
        if handler.is_relay() {
            return self.close_failed_relay(error, handler, call).await;
        }
        handler.log(&error, &self.socket);
        self.socket.end_handling(None);
        // A fault of the head is reported first, even if an extractor failed before the head was
        // checked.
        let fault = if call.is_head_known() { None } else { call.head_error() };
        if let (Some(_), Some(relay)) = (&fault, router.relay()) {
            return self.relay(relay, call).await;
        }
        let error = fault.unwrap_or(error);
        let error = self.review(handler, call, error).await?;
        self.send_error(&error, call.id(), call.message_type().as_deref());
        ControlFlow::Continue(())
    }

    /// Sends an error, and closes the connection if the error has a close code.
    fn send_error(
        &mut self,
        error: &HandlerError,
        id: Option<&MessageId>,
        message_type: Option<&str>,
    ) {
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

    /// Closes the connection because a relay failed. Returns `Break` if the connection ended in the
    /// meantime.
    pub(super) async fn close_failed_relay(
        &mut self,
        error: HandlerError,
        relay: &CompiledHandler,
        call: &Call,
    ) -> ControlFlow<()> {
        relay.log(&error, &self.socket);
        self.socket.end_handling(None);
        let error = self.review(relay, call, error).await?;
        self.close_for(&error);
        ControlFlow::Continue(())
    }

    /// Reports an error with the close frame only, because an error frame would become part of the
    /// stream. If the connection is ending for another reason, it changes nothing.
    pub(super) fn close_for(&self, error: &HandlerError) {
        if self.is_ended_by(error) {
            return;
        }
        let (code, reason) = code_and_reason(error);
        self.socket.close(code, reason);
    }

    /// Whether a handler failed because its connection is ending, or while the server shuts down.
    /// In these cases, a close code that the error does not choose would advise the client not to
    /// come back.
    pub(super) fn is_ended_by(&self, error: &HandlerError) -> bool {
        let chooses =
            error.close_code().is_some() && (error.is_visible() || error.error_id().is_some());
        let outbox = self.socket.outbox();
        (error.is_closed() && outbox.is_ending()) || (!chooses && outbox.drain_grace().is_some())
    }
}

/// Returns the close code and the reason for an error: its own close code, or 1008 with the error's
/// code as the reason. For an internal error it is 1011, and the reason shows only its id.
pub(super) fn code_and_reason(error: &HandlerError) -> (CloseCode, String) {
    match (error.close_code(), error.error_id()) {
        (Some(code), _) => (code, error.message().to_owned()),
        (None, Some(id)) => (closing::INTERNAL.code, closing::INTERNAL.with(id)),
        (None, None) => (closing::REFUSED.code, closing::REFUSED.with(error.code())),
    }
}
