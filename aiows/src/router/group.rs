//! Middleware around the connect or the disconnect handlers of a router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::frozen::Endpoint;
use crate::call::Call;
use crate::error::HandlerError;
use crate::middleware::{Hook, wrap};
use crate::outcome::{IntoOutcome, Outcome};
use crate::route::{BoxFuture, Returned, Run, isolated};
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
        let (group, passed) = (Arc::clone(&self), Arc::new(AtomicBool::new(false)));
        let done = Arc::clone(&passed);
        let end = move |call| -> BoxFuture {
            let (group, done) = (Arc::clone(&group), Arc::clone(&done));
            Box::pin(async move {
                for handler in &group.handlers {
                    send(&call, group.call(handler, &call).await?);
                }
                done.store(true, Ordering::Relaxed);
                ().into_outcome(&call)
            })
        };
        let run = wrap(&self.hooks, Arc::new(end));
        let outcome = isolated(|| run(call.clone())).await?;
        if passed.load(Ordering::Relaxed) {
            return Ok(outcome);
        }
        // A handler was left out, or its error was kept back: the connection must not go on.
        send(&call, outcome);
        Err(HandlerError::refused())
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
        let (group, started) = (Arc::clone(&self), Arc::new(AtomicBool::new(false)));
        let begun = Arc::clone(&started);
        let end = move |call| -> BoxFuture {
            begun.store(true, Ordering::Relaxed);
            Box::pin(Arc::clone(&group).leave(call))
        };
        let run = wrap(&self.hooks, Arc::new(end));
        let returned = isolated(|| run(call.clone())).await;
        if !started.load(Ordering::Relaxed) {
            self.leave(call).await?;
        }
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
    if let Some(answer) = outcome.into_answer() {
        call.websocket().outbox().push_answer(Opcode::Text, answer);
    }
}
