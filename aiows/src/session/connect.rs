//! The connect stage: its handlers run one after the other, and the first that fails is the last.

use std::ops::ControlFlow;

use super::Session;
use super::drive::{drive_connect, start};
use super::io::Step;
use super::relay::farewell;
use crate::close::DisconnectReason;
use crate::error::{Closing, HandlerError, closing};
use crate::extract::{Call, Stage};
use crate::handler::Returned;
use crate::limits::deadline_after;
use crate::outbox::CloseRequest;
use crate::router::{CompiledHandler, CompiledRouter};

impl Session {
    /// Runs the connect handlers and admits the connection; `Break` if that failed.
    pub(super) async fn enter(&mut self, router: &CompiledRouter) -> ControlFlow<()> {
        self.connect(router).await?;
        let Err(error) = self.registration.admit(self.room.take().as_deref()) else {
            return ControlFlow::Continue(());
        };
        // Others came first, and the room of the path is full.
        let error = error.close(closing::ROOM_FULL.code);
        self.fail_connect(&error, "the room of the path").await;
        ControlFlow::Break(())
    }

    /// Runs the connect handlers; `Break` if one failed or closed, or the client did not wait.
    async fn connect(&mut self, router: &CompiledRouter) -> ControlFlow<()> {
        let deadline = deadline_after(self.io.limits.connect_timeout);
        for endpoint in &router.connect {
            if self.socket.is_closed() {
                // A check of its room closed it, or another task while that ran.
                self.end_unadmitted().await;
                return ControlFlow::Break(());
            }
            let call = self.call_for(endpoint, Stage::Connect);
            let run = start(endpoint, &call);
            let Ok(returned) = drive_connect(&mut self.io, run, deadline, endpoint).await else {
                self.give_up_connect();
                return ControlFlow::Break(());
            };
            self.settle_connect(endpoint, &call, returned?).await?;
        }
        ControlFlow::Continue(())
    }

    /// Sends what a connect handler has returned; `Break` if it is the last one.
    async fn settle_connect(
        &mut self,
        endpoint: &CompiledHandler,
        call: &Call,
        returned: Returned,
    ) -> ControlFlow<()> {
        if let Err(error) = &returned {
            endpoint.log(error, &self.socket);
        }
        if self.socket.is_closed() {
            // The session has yet to follow the request, or to notice a reset behind messages.
            self.end_unadmitted().await;
            return ControlFlow::Break(());
        }
        match returned {
            Ok(outcome) => {
                outcome.into_answer().into_iter().for_each(|answer| self.io.answer(answer));
                ControlFlow::Continue(())
            }
            Err(error) => {
                let error = self.review(endpoint, call, error).await?;
                self.fail_connect(&error, &endpoint.title).await;
                ControlFlow::Break(())
            }
        }
    }

    /// Closes because the connect handlers take too long.
    fn give_up_connect(&mut self) {
        let Closing { code, reason } = closing::CONNECT_TIMEOUT;
        self.io.close(CloseRequest::handshake(code, reason, DisconnectReason::ConnectFailed));
    }

    /// Closes with the error's own close code, or with 1008 and the error's code as the reason. If the
    /// connection ends anyway, that is how it ends.
    async fn fail_connect(&mut self, error: &HandlerError, handler: &str) {
        if error.is_visible() && !self.router.only_relays() {
            self.push_error(error, None, None);
        }
        if self.is_ended_by(error) {
            return self.end_unadmitted().await;
        }
        if error.is_visible() {
            let connection = self.socket.id();
            tracing::warn!(%connection, handler, %error, "connect refused");
        }
        let (code, reason) = farewell(error);
        self.io.close(CloseRequest::handshake(code, reason, DisconnectReason::ConnectFailed));
    }

    /// Whether a handler failed because its connection ends, or while the server stops: then a
    /// code that the error does not choose would tell the client not to come back.
    pub(super) fn is_ended_by(&self, error: &HandlerError) -> bool {
        let chooses =
            error.close_code().is_some() && (error.is_visible() || error.error_id().is_some());
        let outbox = self.socket.outbox();
        (error.is_closed() && outbox.is_ending()) || (!chooses && outbox.drain_grace().is_some())
    }

    /// Waits for the end that is under way. What the client has sent is not handled.
    async fn end_unadmitted(&mut self) {
        while let Step::Message(_) = self.io.next().await {}
    }
}
