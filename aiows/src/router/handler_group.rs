//! Runs the connect or the disconnect handlers of a router inside their middleware.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::compiled::CompiledHandler;
use super::middleware_clock::MiddlewareClock;
use super::reclaim::Reclaimable;
use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::{self, IntoOutcome, Outcome, Returned, Run};
use crate::middleware::{MiddlewareFn, wrap};

/// Handlers that run one after the other inside the same middleware.
pub(super) struct HandlerGroup {
    /// The name in the log. An error may come from the middleware or from a handler.
    pub(super) title: String,
    pub(super) hooks: Vec<MiddlewareFn>,
    pub(super) handlers: Vec<CompiledHandler>,
    /// How many of a handler's error hooks also see the error of the group.
    pub(super) shared_hooks: usize,
}

impl HandlerGroup {
    /// Combines the connect handlers and their middleware into one handler.
    pub(super) fn connect(self) -> Run {
        let group = Arc::new(self);
        Arc::new(move |call| Box::pin(Arc::clone(&group).run_connect(call)))
    }

    /// Combines the disconnect handlers and their middleware into one handler.
    pub(super) fn disconnect(self) -> Run {
        let group = Arc::new(self);
        Arc::new(move |call| Box::pin(Arc::clone(&group).run_disconnect(call)))
    }

    async fn run_connect(self: Arc<Self>, call: Call) -> Returned {
        let all_succeeded = Arc::new(AtomicBool::new(false));
        let clock = Arc::new(MiddlewareClock::new());
        let handlers = Arc::clone(&self).run_connect_handlers(
            call.clone(),
            Arc::clone(&all_succeeded),
            Arc::clone(&clock),
        );
        let handlers = Reclaimable::new(call.websocket().id(), Box::pin(handlers));
        // No limit here: the session has a deadline for all connect handlers.
        let middleware = self.run_middleware(&handlers, &call);
        let outcome = clock.run_timed(&call, &self.title, Duration::MAX, middleware).await;
        // Middleware may have spawned the handlers. They must end before the connection does.
        handlers.cancel().await;
        let outcome = outcome.unwrap_or_else(|| Err(HandlerError::refused()))?;
        if all_succeeded.load(Ordering::Relaxed) {
            return Ok(outcome);
        }
        // A handler did not run, or its error was swallowed: the connection must not continue.
        send_outcome(&call, outcome);
        Err(HandlerError::refused())
    }

    /// Runs the middleware, with the handlers as its `next`.
    async fn run_middleware(&self, handlers: &Reclaimable, call: &Call) -> Returned {
        let run = wrap(&self.hooks, handlers.as_run());
        handler::run(&run, call.clone()).await
    }

    /// Runs the connect handlers until one fails or closes the connection.
    async fn run_connect_handlers(
        self: Arc<Self>,
        call: Call,
        all_succeeded: Arc<AtomicBool>,
        clock: Arc<MiddlewareClock>,
    ) -> Returned {
        for handler in &self.handlers {
            let running = clock.run_handler(handler, &call);
            let returned = self.call_handler(handler, &call).await;
            running.finish();
            send_outcome(&call, returned?);
            if call.websocket().is_closed() {
                return ().into_outcome(&call);
            }
        }
        all_succeeded.store(true, Ordering::Relaxed);
        ().into_outcome(&call)
    }

    async fn call_handler(&self, handler: &CompiledHandler, call: &Call) -> Returned {
        let call = call.with_state(&handler.state);
        match handler::run(&handler.run, call.clone()).await {
            Err(error) if handler.errors.len() > self.shared_hooks => {
                handler.log(&error, call.websocket());
                Err(handler.errors.review(self.shared_hooks, call, error).await)
            }
            returned => returned,
        }
    }

    async fn run_disconnect(self: Arc<Self>, call: Call) -> Returned {
        let clock = Arc::new(MiddlewareClock::new());
        let handlers = Arc::clone(&self).run_disconnect_handlers(call.clone(), Arc::clone(&clock));
        let handlers = Reclaimable::new(call.websocket().id(), Box::pin(handlers));
        let middleware = self.run_middleware(&handlers, &call);
        let returned =
            clock.run_timed(&call, &self.title, call.disconnect_timeout(), middleware).await;
        // The handlers finish even if the middleware hangs.
        handlers.finish().await?;
        returned.unwrap_or_else(|| Ok(Outcome::default()))
    }

    /// Runs every disconnect handler, even if others fail.
    async fn run_disconnect_handlers(
        self: Arc<Self>,
        call: Call,
        clock: Arc<MiddlewareClock>,
    ) -> Returned {
        for handler in &self.handlers {
            let call = call.with_state(&handler.state);
            let running = clock.run_handler(handler, &call);
            if run_disconnect_handler(handler, &call).await.is_some() {
                running.finish();
            }
        }
        ().into_outcome(&call)
    }
}

/// Runs one disconnect handler. Returns `None` if its time runs out.
async fn run_disconnect_handler(handler: &CompiledHandler, call: &Call) -> Option<()> {
    let limit = if handler.is_group { Duration::MAX } else { call.disconnect_timeout() };
    let run = handler::run(&handler.run, call.clone());
    if let Err(error) = call.run_in_time(timeout(limit, run)).await?.ok()? {
        handler.log(&error, call.websocket());
        let review = handler.errors.review(0, call.clone(), error);
        let review = timeout(call.disconnect_timeout(), review);
        let _ = call.run_in_time(review).await?.ok()?;
    }
    Some(())
}

fn send_outcome(call: &Call, outcome: Outcome) {
    if let Some(answer) = outcome.into_answer()
        && !call.websocket().is_closed()
    {
        call.websocket().outbox().push_answer(answer);
    }
}
