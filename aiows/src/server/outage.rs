//! Logs when no connection can be accepted.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An outage that follows another one within this time is not logged.
const QUIET: Duration = Duration::from_secs(60);

/// A period in which no connection can be accepted, for example without file descriptors. All
/// listeners of a server share it, so that it is logged once.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of accepts that have failed since the outage began.
    failed: u64,
    is_logged: bool,
    last_line: Option<Instant>,
}

impl Outage {
    /// Counts a failed accept, and logs the first one of an outage.
    pub(super) fn note(&self, error: &io::Error) {
        let mut state = self.state();
        state.failed += 1;
        let is_quiet = state.last_line.is_none_or(|line| line.elapsed() >= QUIET);
        if state.failed == 1 && is_quiet {
            state.is_logged = true;
            state.last_line = Some(Instant::now());
            drop(state);
            tracing::error!(%error, "connections cannot be accepted");
        }
    }

    /// Called when a listener accepts again.
    pub(super) fn end(&self) {
        let mut state = self.state();
        let failed = std::mem::take(&mut state.failed);
        if std::mem::take(&mut state.is_logged) {
            drop(state);
            tracing::info!(failed, "connections are accepted again");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
