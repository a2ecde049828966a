use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An outage that follows another one within this time has no lines of its own in the log.
const QUIET: Duration = Duration::from_secs(60);

/// A time in which no connection can be accepted, such as one without file descriptors. All listeners
/// of a server share it, so that it has one line in the log.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Accepts that have failed since the outage began.
    failed: u64,
    is_logged: bool,
    last_line: Option<Instant>,
}

impl Outage {
    /// Notes a failed accept; the first one of an outage is logged.
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

    /// Notes that a listener accepts again.
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
