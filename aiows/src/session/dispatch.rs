//! Handles one message: finds its handler, runs it, and hands what it returned to `respond.rs`.

use std::ops::ControlFlow;

use super::Session;
use super::drive::{Job, drive, poll_connection};
use crate::extract::{Call, Received, RequestId};
use crate::handler::{self, until};
use crate::protocol::Inbound;
use crate::router::{CompiledHandler, CompiledRouter, RouteMatch};

impl Session {
    /// Handles one message; `Break` if the connection ended in the meantime.
    pub(super) async fn handle(
        &mut self,
        router: &CompiledRouter,
        inbound: Inbound,
    ) -> ControlFlow<()> {
        // Rare branches are boxed, so that an idle connection keeps no room for their futures.
        let (handler, id) = match router.resolve(&inbound) {
            RouteMatch::Handler(handler, id) => (handler, id),
            RouteMatch::Unrouted(unrouted) => {
                return Box::pin(self.refuse(router, inbound, unrouted)).await;
            }
        };
        let received = Received::new(inbound, id);
        let mut call = Call::begin(self.call.take(), &self.socket, &handler.state, received);
        let running = handler::run(&handler.run, call.clone());
        let job = Job::Message(&handler.title);
        let returned = until(running, |cx| poll_connection(&mut self.io, job, cx)).await;
        self.io.note_handler_returned();
        if let Err(error) = returned?.and_then(|outcome| self.answer(outcome, &mut call)) {
            Box::pin(self.fail(error, router, handler, &mut call)).await?;
        }
        self.call = Some(call).filter(Call::is_spare);
        ControlFlow::Continue(())
    }

    /// Passes a text to the relay after another handler has found that it is not a message. Returns
    /// `Break` if the connection ended in the meantime.
    pub(super) async fn relay(
        &mut self,
        router: &CompiledRouter,
        relay: &CompiledHandler,
        found: &Call,
    ) -> ControlFlow<()> {
        let Some(inbound) = found.inbound().cloned() else { return ControlFlow::Continue(()) };
        let received = Received::new(inbound, RequestId::Absent);
        let mut call = Call::begin(None, &self.socket, &relay.state, received);
        let running = handler::run(&relay.run, call.clone());
        let returned = drive(&mut self.io, running, &relay.title).await?;
        match returned.and_then(|outcome| self.answer(outcome, &mut call)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => Box::pin(self.fail(error, router, relay, &mut call)).await,
        }
    }
}
