//! Middleware around the connect or the disconnect handlers of a router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::frozen::Endpoint;
use super::lent::Lent;
use crate::call::Call;
use crate::error::HandlerError;
use crate::middleware::{Hook, wrap};
use crate::outcome::{IntoOutcome, Outcome};
use crate::route::{Returned, Run, isolated};
use crate::transport::Opcode;

/// Handlers that run one after the other inside of the same middleware.
pub(super) struct Group {
    pub(super) hooks: Vec<Hook>,
    pub(super) handlers: Vec<Endpoint>,
    /// How many of a handler's error hooks see the failure of the group.
    pub(super) shared: usize,
}

impl Group {
    /// Makes one handler of the connect handlers and the middleware around them.
    pub(super) fn connect(self) -> Run {
        let group = Arc::new(self);
        Arc::new(move |call| Box::pin(Arc::clone(&group).run_connect(call)))
    }

    /// Makes one handler of the disconnect handlers and the middleware around them.
    pub(super) fn disconnect(self) -> Run {
        let group = Arc::new(self);
        Arc::new(move |call| Box::pin(Arc::clone(&group).run_disconnect(call)))
    }

    async fn run_connect(self: Arc<Self>, call: Call) -> Returned {
        let passed = Arc::new(AtomicBool::new(false));
        let handlers = Arc::clone(&self).enter(call.clone(), Arc::clone(&passed));
        let lent = Lent::new(Box::pin(handlers));
        let outcome = self.around(&lent, &call).await;
        // Middleware may have spawned them; they end before the connection does.
        lent.cancel().await;
        let outcome = outcome?;
        if passed.load(Ordering::Relaxed) {
            return Ok(outcome);
        }
        // A handler was left out, or its error was kept back: the connection must not go on.
        send(&call, outcome);
        Err(HandlerError::refused())
    }

    /// Runs the middleware around the handlers.
    async fn around(&self, lent: &Lent, call: &Call) -> Returned {
        let run = wrap(&self.hooks, lent.step());
        isolated(|| run(call.clone())).await
    }

    /// Runs the connect handlers until one fails or closes the connection.
    async fn enter(self: Arc<Self>, call: Call, passed: Arc<AtomicBool>) -> Returned {
        for handler in &self.handlers {
            send(&call, self.call(handler, &call).await?);
            if call.websocket().is_closed() {
                return ().into_outcome(&call);
            }
        }
        passed.store(true, Ordering::Relaxed);
        ().into_outcome(&call)
    }

    async fn call(&self, handler: &Endpoint, call: &Call) -> Returned {
        let call = call.over_state(&handler.state);
        match isolated(|| (handler.run)(call.clone())).await {
            Err(error) if handler.errors.len() > self.shared => {
                handler.log(&error, call.websocket());
                handler.errors.review(self.shared, call, error).await
            }
            returned => returned,
        }
    }

    async fn run_disconnect(self: Arc<Self>, call: Call) -> Returned {
        let lent = Lent::new(Box::pin(Arc::clone(&self).leave(call.clone())));
        let returned = self.around(&lent, &call).await;
        lent.finish().await?;
        returned
    }

    /// Runs every disconnect handler, whatever the others do.
    async fn leave(self: Arc<Self>, call: Call) -> Returned {
        for handler in &self.handlers {
            let call = call.over_state(&handler.state);
            if let Err(error) = isolated(|| (handler.run)(call.clone())).await {
                handler.log(&error, call.websocket());
                let _ = handler.errors.review(0, call, error).await;
            }
        }
        ().into_outcome(&call)
    }
}

fn send(call: &Call, outcome: Outcome) {
    if let Some(answer) = outcome.into_answer()
        && !call.websocket().is_closed()
    {
        call.websocket().outbox().push_answer(Opcode::Text, answer);
    }
}
