//! Middleware around the connect or the disconnect handlers of a router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::compiled::CompiledHandler;
use super::idle::Idle;
use super::lent::Lent;
use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::{IntoOutcome, Outcome};
use crate::handler::{Returned, Run, isolated};
use crate::middleware::{MiddlewareFn, wrap};

/// Handlers that run one after the other inside of the same middleware.
pub(super) struct Group {
    /// What the log calls it: a failure may be the middleware's or a handler's.
    pub(super) title: String,
    pub(super) hooks: Vec<MiddlewareFn>,
    pub(super) handlers: Vec<CompiledHandler>,
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
        let idle = Arc::new(Idle::new());
        let handlers =
            Arc::clone(&self).enter(call.clone(), Arc::clone(&passed), Arc::clone(&idle));
        let lent = Lent::new(call.websocket().id(), Box::pin(handlers));
        // The session has a deadline for all of it.
        let around = self.around(&lent, &call);
        let outcome = idle.watch(&call, &self.title, Duration::MAX, around).await;
        // Middleware may have spawned them; they end before the connection does.
        lent.cancel().await;
        let outcome = outcome.unwrap_or_else(|| Err(HandlerError::refused()))?;
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
        isolated(Some(call.websocket().id()), || run(call.clone())).await
    }

    /// Runs the connect handlers until one fails or closes the connection.
    async fn enter(
        self: Arc<Self>,
        call: Call,
        passed: Arc<AtomicBool>,
        idle: Arc<Idle>,
    ) -> Returned {
        for handler in &self.handlers {
            let running = idle.run(handler, &call);
            let returned = self.call(handler, &call).await;
            running.finish();
            send(&call, returned?);
            if call.websocket().is_closed() {
                return ().into_outcome(&call);
            }
        }
        passed.store(true, Ordering::Relaxed);
        ().into_outcome(&call)
    }

    async fn call(&self, handler: &CompiledHandler, call: &Call) -> Returned {
        let call = call.with_state(&handler.state);
        match isolated(Some(call.websocket().id()), || (handler.run)(call.clone())).await {
            Err(error) if handler.errors.len() > self.shared => {
                handler.log(&error, call.websocket());
                handler.errors.review(self.shared, call, error).await
            }
            returned => returned,
        }
    }

    async fn run_disconnect(self: Arc<Self>, call: Call) -> Returned {
        let idle = Arc::new(Idle::new());
        let handlers = Arc::clone(&self).leave(call.clone(), Arc::clone(&idle));
        let lent = Lent::new(call.websocket().id(), Box::pin(handlers));
        let around = self.around(&lent, &call);
        let returned = idle.watch(&call, &self.title, call.disconnect_timeout(), around).await;
        // Also if the middleware hangs.
        lent.finish().await?;
        returned.unwrap_or_else(|| Ok(Outcome::default()))
    }

    /// Runs every disconnect handler, whatever the others do.
    async fn leave(self: Arc<Self>, call: Call, idle: Arc<Idle>) -> Returned {
        for handler in &self.handlers {
            let call = call.with_state(&handler.state);
            let running = idle.run(handler, &call);
            if leave(handler, &call).await.is_some() {
                running.finish();
            }
        }
        ().into_outcome(&call)
    }
}

/// Runs one disconnect handler; `None` if it has not returned in its time.
async fn leave(handler: &CompiledHandler, call: &Call) -> Option<()> {
    let limit = if handler.is_group { Duration::MAX } else { call.disconnect_timeout() };
    let run = isolated(Some(call.websocket().id()), || (handler.run)(call.clone()));
    if let Err(error) = call.run_in_time(timeout(limit, run)).await?.ok()? {
        handler.log(&error, call.websocket());
        let review = handler.errors.review(0, call.clone(), error);
        let review = timeout(call.disconnect_timeout(), review);
        let _ = call.run_in_time(review).await?.ok()?;
    }
    Some(())
}

fn send(call: &Call, outcome: Outcome) {
    if let Some(answer) = outcome.into_answer()
        && !call.websocket().is_closed()
    {
        call.websocket().outbox().push_answer(answer);
    }
}
