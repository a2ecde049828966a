//! Relays: fallbacks that take frames as they came. Only the close frame reports their errors.

use std::ops::ControlFlow;

use super::Session;
use super::drive::{drive, start};
use crate::close::CloseCode;
use crate::error::{HandlerError, closing};
use crate::extract::{Call, Received, RequestId, Stage};
use crate::router::CompiledHandler;

impl Session {
    /// Hands a text to the relay after another handler has found that it is no message. Returns `Break` if
    /// the connection ended meanwhile.
    pub(super) async fn relay(&mut self, relay: &CompiledHandler, found: &Call) -> ControlFlow<()> {
        let Some(inbound) = found.inbound().cloned() else { return ControlFlow::Continue(()) };
        let call = self.call_for(relay, Stage::Message(Received::new(inbound, RequestId::Absent)));
        self.socket.begin_handling();
        let returned = drive(&mut self.io, start(relay, &call), &relay.title).await?;
        match returned.and_then(|outcome| self.settle(outcome, &call)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.refuse_relayed(error, relay, &call).await,
        }
    }

    /// Closes the connection because a relay failed. Returns `Break` if the connection ended meanwhile.
    pub(super) async fn refuse_relayed(
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

    /// Reports an error by the close frame alone, because an error frame would become part of the stream. If the
    /// connection ends anyway, that is how it ends.
    pub(super) fn close_for(&self, error: &HandlerError) {
        if self.is_ended_by(error) {
            return;
        }
        let (code, reason) = farewell(error);
        self.socket.close(code, reason);
    }
}

/// Returns the close code and the reason for an error: its own code, or 1008 with the error's code as the
/// reason. An internal error shows nothing but its id.
pub(super) fn farewell(error: &HandlerError) -> (CloseCode, String) {
    match (error.close_code(), error.error_id()) {
        (Some(code), _) => (code, error.message().to_owned()),
        (None, Some(id)) => (closing::INTERNAL.code, closing::INTERNAL.with(id)),
        (None, None) => (closing::REFUSED.code, closing::REFUSED.with(error.code())),
    }
}
