//! The time of the middleware around a group of handlers, without that of the handlers.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::compiled::CompiledHandler;
use crate::extract::Call;
use crate::handler::Running;
use crate::limits::deadline_of;

/// Since when no handler of a group runs; `None` while one does.
#[derive(Debug)]
pub(super) struct Idle(Mutex<Option<Instant>>);

/// One handler of a group that runs. If this is dropped before [`finish`](Self::finish), the log names the handler.
pub(super) struct HandlerRun<'a> {
    /// `None` for a group inside of this one, which names its own handlers.
    running: Option<Running<'a>>,
    idle: &'a Idle,
}

impl HandlerRun<'_> {
    pub(super) fn finish(mut self) {
        self.running.take().into_iter().for_each(Running::finish);
    }
}

impl Drop for HandlerRun<'_> {
    fn drop(&mut self) {
        self.idle.set(Some(Instant::now()));
    }
}

/// The middleware around a group. If it is dropped while no handler runs, the log names the group.
struct Around<'a> {
    running: Option<Running<'a>>,
    idle: &'a Idle,
}

impl Drop for Around<'_> {
    fn drop(&mut self) {
        // A handler that runs is named by itself.
        if self.idle.since().is_none() {
            self.running.take().into_iter().for_each(Running::finish);
        }
    }
}

impl Idle {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    /// Notes that a handler runs.
    pub(super) fn run<'a>(&'a self, handler: &'a CompiledHandler, call: &Call) -> HandlerRun<'a> {
        self.set(None);
        let connection = call.websocket().id();
        let running = (!handler.is_group).then(|| Running::begin(connection, &handler.title));
        HandlerRun { running, idle: self }
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the middleware of a group. `None` if it takes longer than `limit` while no handler runs, or if
    /// no time is left.
    pub(super) async fn watch<T>(
        &self,
        call: &Call,
        title: &str,
        limit: Duration,
        middleware: impl Future<Output = T>,
    ) -> Option<T> {
        let running = Running::begin(call.websocket().id(), title);
        let mut around = Around { running: Some(running), idle: self };
        let mut middleware = pin!(middleware);
        let returned = tokio::select! {
            biased;
            returned = &mut middleware => returned,
            _ = call.run_in_time(self.exceeds(limit)) => return None,
        };
        around.running.take().into_iter().for_each(Running::finish);
        Some(returned)
    }

    async fn exceeds(&self, limit: Duration) {
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
