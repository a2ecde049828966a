//! Responses to a message: its answer, an acknowledgement, or an error.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Session;
use super::drive::drive;
use crate::close::CloseCode;
use crate::codec::{HeadId, encode, encode_builtin};
use crate::error::{HandlerError, closing};
use crate::extract::{Call, Received, Stage};
use crate::handler::Outcome;
use crate::id::MessageId;
use crate::message::ErrorFrame;
use crate::middleware::ErrorHooks;
use crate::protocol::Inbound;
use crate::router::{CompiledHandler, CompiledRouter, Report, Unrouted};

/// The message type of an acknowledgement.
const ACK: &str = "ack";

/// An unknown message type is repeated in an error only up to this length, in bytes.
const MAX_ECHOED_TYPE: usize = 64;

impl Session {
    /// Sends the handler's answer, or the acknowledgement if a request has none.
    pub(super) fn answer(&mut self, outcome: Outcome, call: &mut Call) -> Result<(), HandlerError> {
        // Middleware may have answered without calling the handler, which would have read the head.
        let unanswered = call.end()?;
        match (outcome.into_answer(), unanswered) {
            (Some(answer), _) => self.io.send(answer),
            (None, Some(id)) => {
                self.io.send(encode(self.socket.tag(), ACK, HeadId::Answer(&id), &())?)
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Reports the error of a handler; `Break` if the connection ended in the meantime.
    pub(super) async fn fail(
        &mut self,
        error: HandlerError,
        router: &CompiledRouter,
        handler: &CompiledHandler,
        call: &mut Call,
    ) -> ControlFlow<()> {
        handler.log(&error, &self.socket);
        self.socket.end_handling(None);
        // A fault of the head is reported first, even if an extractor failed before the head was
        // read.
        let fault = call.request_id().err();
        if let (Some(_), Some(relay)) = (&fault, router.relay()) {
            return self.relay(router, relay, call).await;
        }
        let error = fault.unwrap_or(error);
        let error = self.review(&handler.errors, &handler.title, call, error).await?;
        self.report(handler.report(), &error, call.id(), call.message_type().as_deref());
        // The call is used again, even though its request is answered.
        let _ = call.end();
        ControlFlow::Continue(())
    }

    /// Reports an error for a message without a handler; `Break` if the connection ended in the
    /// meantime.
    pub(super) async fn refuse(
        &mut self,
        router: &CompiledRouter,
        inbound: Inbound,
        unrouted: Unrouted,
    ) -> ControlFlow<()> {
        let Unrouted { mut error, report, id, message_type } = unrouted;
        if !router.errors.is_empty() {
            let stage = Stage::Message(Received::new(inbound, id.clone().into()));
            let call = Call::new(self.socket.clone(), Arc::clone(&router.state), stage);
            error = self.review(&router.errors, "middleware", &call, error).await?;
        }
        self.report(report, &error, id.as_ref(), message_type.as_deref());
        ControlFlow::Continue(())
    }

    /// Passes an error to the error hooks of the middleware; `Break` if the connection ended in the
    /// meantime.
    pub(super) async fn review(
        &mut self,
        errors: &ErrorHooks,
        title: &str,
        call: &Call,
        error: HandlerError,
    ) -> ControlFlow<(), HandlerError> {
        if errors.is_empty() {
            return ControlFlow::Continue(error);
        }
        let known = error.error_id().map(str::to_owned);
        let error = drive(&mut self.io, errors.review(0, call.clone(), error), title).await?;
        if let Some(error_id) = error.error_id()
            && known.as_deref() != Some(error_id)
        {
            let connection = self.socket.id();
            tracing::error!(%connection, error_id, %error, "middleware replaced an error");
        }
        ControlFlow::Continue(error)
    }

    /// Reports an error to the client, and closes the connection if the error has a close code or
    /// can only be reported that way.
    fn report(
        &mut self,
        report: Report,
        error: &HandlerError,
        id: Option<&MessageId>,
        message_type: Option<&str>,
    ) {
        match report {
            Report::ErrorFrame => {
                self.send_error(error, id, message_type);
                if let Some(code) = error.close_code() {
                    self.socket.close(code, error.message());
                }
            }
            Report::Close if self.is_ended_by(error) => {}
            Report::Close => {
                let (code, reason) = code_and_reason(error);
                self.socket.close(code, reason);
            }
        }
    }

    pub(super) fn send_error(
        &mut self,
        error: &HandlerError,
        id: Option<&MessageId>,
        message_type: Option<&str>,
    ) {
        let message_type = message_type.filter(|name| name.len() <= MAX_ECHOED_TYPE);
        let frame = ErrorFrame::new(error, message_type, Some(self.socket.id()));
        match encode_builtin(self.socket.tag(), ErrorFrame::TYPE, id.into(), &frame) {
            Ok(frame) => self.io.send(frame),
            Err(error) => {
                let connection = self.socket.id();
                tracing::error!(%connection, %error, "an error frame could not be encoded");
            }
        }
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
