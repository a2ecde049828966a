//! Measures the time that the middleware around a group takes, without the time of its handlers.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::compiled::CompiledHandler;
use crate::extract::Call;
use crate::handler::Running;
use crate::limits::deadline_of;

/// The moment since which no handler of the group runs; `None` while one runs.
#[derive(Debug)]
pub(super) struct MiddlewareClock(Mutex<Option<Instant>>);

/// A running handler of a group. If it is dropped before [`finish`](Self::finish) is called, the
/// log names the handler.
pub(super) struct HandlerRun<'a> {
    /// `None` for a nested group, which logs its own handlers.
    running: Option<Running<'a>>,
    clock: &'a MiddlewareClock,
}

impl HandlerRun<'_> {
    pub(super) fn finish(mut self) {
        self.running.take().into_iter().for_each(Running::finish);
    }
}

impl Drop for HandlerRun<'_> {
    fn drop(&mut self) {
        self.clock.set(Some(Instant::now()));
    }
}

/// The running middleware of a group. If it is dropped while no handler runs, the log names the
/// group.
struct MiddlewareRun<'a> {
    running: Option<Running<'a>>,
    clock: &'a MiddlewareClock,
}

impl Drop for MiddlewareRun<'_> {
    fn drop(&mut self) {
        // A running handler is logged by its own guard.
        if self.clock.since().is_none() {
            self.running.take().into_iter().for_each(Running::finish);
        }
    }
}

impl MiddlewareClock {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    /// Stops the clock until the returned guard is dropped.
    pub(super) fn run_handler<'a>(
        &'a self,
        handler: &'a CompiledHandler,
        call: &Call,
    ) -> HandlerRun<'a> {
        self.set(None);
        let connection = call.websocket().id();
        let running = (!handler.is_group).then(|| Running::begin(connection, &handler.title));
        HandlerRun { running, clock: self }
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the middleware of a group. Returns `None` if it takes longer than `limit`, not counting
    /// handlers, or if the call has no time left.
    pub(super) async fn run_timed<T>(
        &self,
        call: &Call,
        title: &str,
        limit: Duration,
        middleware: impl Future<Output = T>,
    ) -> Option<T> {
        let running = Running::begin(call.websocket().id(), title);
        let mut run = MiddlewareRun { running: Some(running), clock: self };
        let mut middleware = pin!(middleware);
        let returned = tokio::select! {
            biased;
            returned = &mut middleware => returned,
            _ = call.run_in_time(self.expires(limit)) => return None,
        };
        run.running.take().into_iter().for_each(Running::finish);
        Some(returned)
    }

    async fn expires(&self, limit: Duration) {
        loop {
            match self.since() {
                None => sleep(limit).await,
                Some(since) if since.elapsed() < limit => {
                    sleep_until(deadline_of(since, limit)).await
                }
                Some(_) => return,
            }
        }
    }
}
