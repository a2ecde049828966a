use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::lifecycle::Ending;
use super::shared::Shared;
use crate::limits::CUT_GRACE;
use crate::outbox::{CloseMode, CloseRequest};

/// How long clients may still answer the requests of handlers and read queued messages.
const CLIENT_GRACE: Duration = Duration::from_secs(2);

/// The number of connections that are closed at the same time.
const BATCH: usize = 100;

/// The longest pause between two batches. With pauses, clients do not all reconnect at once.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Waits for the stop of a server, then drains it.
///
/// Every server that accepts connections has one, on a task of its own, so that the deadline of a
/// stop holds even if the future that serves is dropped.
pub(super) struct Drain {
    pub(super) server: Arc<Shared>,
}

impl Drain {
    pub(super) async fn run(self) {
        // If the `App` was dropped, no connection is left to close.
        let Some(deadline) = self.server.lifecycle.stopping().await else { return };
        self.server.tasks.close();
        let ending = self.drain(deadline).await;
        self.server.lifecycle.end(ending);
    }

    async fn drain(&self, deadline: Instant) -> Ending {
        let Shared { hub, lifecycle, tasks, .. } = &*self.server;
        tracing::info!(active = hub.size(), "stopping");
        tokio::select! {
            biased;
            () = self.close_connections(deadline) => {
                // Refused clients may still read their answers, but do not force the stop.
                tokio::select! {
                    biased;
                    () = tasks.wait() => {}
                    () = lifecycle.deadline_passed() => {}
                }
                return Ending::Orderly;
            }
            () = lifecycle.deadline_passed() => {}
        }
        tracing::warn!(active = hub.size(), "connections are cut");
        // This ends HTTP connections, which the hub does not list.
        lifecycle.cut();
        self.server.close_all(CloseMode::Cut);
        // A handler that blocks its thread may never end.
        let _ = timeout(CUT_GRACE, tasks.wait()).await;
        Ending::Forced
    }

    /// Closes the connections and waits until the last one has ended.
    async fn close_connections(&self, deadline: Instant) {
        let within = deadline.saturating_duration_since(Instant::now());
        self.request_close_in_batches(within).await;
        self.server.permits.drained().await;
        self.server.lifecycle.set_drained();
        self.server.permits.empty().await;
    }

    /// Requests the close of all connections, in batches. The random pauses between the batches
    /// take at most half of the time in all.
    async fn request_close_in_batches(&self, within: Duration) {
        // The last connections receive the request after half of the time.
        let request = CloseRequest::drain(CLIENT_GRACE.min(within / 4));
        let sockets = self.server.hub.stop_admitting(&request);
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
}

impl Drop for Drain {
    fn drop(&mut self) {
        // This has no effect after `run`.
        if self.server.lifecycle.abandon() {
            // Connections on other runtimes may be left.
            self.server.close_all(CloseMode::Cut);
        }
    }
}

/// Returns a random number from 0 to 1, good enough to spread reconnects.
fn random_share() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
