use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::handle::ServerHandle;
use super::lifecycle::Ending;
use crate::limits::{CUT_GRACE, deadline_after};
use crate::outbox::{CloseMode, CloseRequest};
use crate::server::App;

/// How long clients may still answer what handlers have asked, and make room for what they send.
const CLIENT_GRACE: Duration = Duration::from_secs(2);

/// Connections that are told at the same time.
const BATCH: usize = 100;

/// The longest pause between two batches, so that clients do not all come back at once.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Waits for the stop of a server, and drains it. Every server that accepts connections has one, on a
/// task of its own, so that the deadline of a stop holds whatever becomes of the other futures.
pub(crate) struct Drain {
    handle: ServerHandle,
}

impl Drain {
    pub(crate) fn new(handle: ServerHandle) -> Self {
        Self { handle }
    }

    pub(crate) async fn run(self) {
        // Nothing is left to stop if the `App` was dropped.
        let Some(deadline) = self.handle.lifecycle().stopping().await else { return };
        self.handle.tasks().close();
        let ending = self.drain(deadline).await;
        self.handle.lifecycle().end(ending);
    }

    async fn drain(&self, deadline: Instant) -> Ending {
        let lifecycle = self.handle.lifecycle();
        tracing::info!(active = self.handle.stats().active, "stopping");
        tokio::select! {
            biased;
            () = self.every_place_is_empty(deadline) => {
                // Refused clients may still read their answers, but nothing is forced for them.
                tokio::select! {
                    biased;
                    () = self.handle.tasks().wait() => {}
                    () = lifecycle.deadline_passed() => {}
                }
                return Ending::Orderly;
            }
            () = lifecycle.deadline_passed() => {}
        }
        tracing::warn!(active = self.handle.stats().active, "connections are cut");
        // Ends HTTP connections, which the hub does not know.
        lifecycle.cut();
        self.handle.close_all(CloseMode::Cut);
        // A handler that blocks its thread cannot be waited for.
        let _ = timeout(CUT_GRACE, self.handle.tasks().wait()).await;
        Ending::Forced
    }

    /// Closes the connections, and waits until the last one has ended.
    async fn every_place_is_empty(&self, deadline: Instant) {
        let within = deadline.saturating_duration_since(Instant::now());
        close_all(&self.handle, within).await;
        self.handle.places().drained().await;
        self.handle.lifecycle().set_drained();
        self.handle.places().empty().await;
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        // Without effect after `run`.
        if self.handle.lifecycle().abandon() {
            // Connections on other runtimes may be left.
            self.handle.close_all(CloseMode::Cut);
        }
    }
}

/// Stops the server when the future that serves it is dropped.
pub(crate) struct StopOnDrop {
    handle: ServerHandle,
    timeout: Duration,
}

impl StopOnDrop {
    pub(crate) fn new(app: &App) -> Self {
        Self { handle: app.handle().clone(), timeout: app.shutdown_timeout() }
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.handle.stop(deadline_after(self.timeout));
    }
}

/// Tells all connections to leave, in batches with pauses of random length that together take
/// no more than half of the time there is.
async fn close_all(handle: &ServerHandle, within: Duration) {
    // The last connections are told after half of the time.
    let request = CloseRequest::drain(CLIENT_GRACE.min(within / 4));
    let sockets = handle.hub().close_door(&request);
    let batches = u32::try_from(sockets.len().div_ceil(BATCH)).unwrap_or(u32::MAX).max(1);
    let longest = MAX_PAUSE.min(within / 2 / batches);
    for (number, batch) in sockets.chunks(BATCH).enumerate() {
        if number > 0 {
            sleep(longest.mul_f64(random_share())).await;
        }
        for socket in batch {
            socket.outbox().request_close(request.clone());
        }
    }
}

/// A number from 0 to 1; good enough to keep clients apart.
fn random_share() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
