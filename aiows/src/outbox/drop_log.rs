//! Log lines about messages that a policy drops: one when a burst of drops begins, and one with
//! their number.

use tokio::time::{Duration, Instant};

use super::State;
use crate::id::ConnectionId;
use crate::limits::Overflow;

/// The minimum time between two logged numbers of one connection, so that a client that stalls
/// again and again does not fill the log.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Messages that a policy has dropped because the queue was full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    pub(super) policy: Overflow,
    pub(super) count: u64,
}

/// The drops of a connection from the first one until its socket has taken all bytes.
#[derive(Debug)]
pub(super) struct DropBurst {
    policy: Overflow,
    /// Dropped messages that are not logged yet.
    count: u64,
    /// The time at which a number was last logged.
    logged_at: Option<Instant>,
}

/// A line for the log, written after the lock is released.
#[derive(Debug)]
pub(super) enum LogLine {
    Begun(Overflow),
    Over(Dropped),
}

impl LogLine {
    pub(super) fn write(self, connection: ConnectionId) {
        match self {
            Self::Begun(policy) => {
                let policy = policy.name();
                tracing::warn!(%connection, policy, "the client reads too slowly: dropping messages");
            }
            Self::Over(Dropped { policy, count }) => {
                let policy = policy.name();
                tracing::warn!(%connection, policy, dropped = count, "messages dropped");
            }
        }
    }
}

impl DropBurst {
    fn was_logged_recently(&self) -> bool {
        self.logged_at.is_some_and(|at| at.elapsed() < MIN_INTERVAL)
    }

    fn end(&mut self, now: Instant) -> Option<LogLine> {
        if self.count == 0 {
            return None;
        }
        self.logged_at = Some(now);
        let count = std::mem::take(&mut self.count);
        Some(LogLine::Over(Dropped { policy: self.policy, count }))
    }
}

impl State {
    /// Counts drops for the log; returns a line if a burst begins.
    pub(super) fn note_dropped(&mut self, dropped: Dropped) -> Option<LogLine> {
        let Dropped { policy, count } = dropped;
        if count == 0 {
            return None;
        }
        let burst = self
            .burst
            .get_or_insert_with(|| Box::new(DropBurst { policy, count: 0, logged_at: None }));
        let begins = burst.count == 0 && !burst.was_logged_recently();
        if burst.count == 0 {
            burst.policy = policy;
        }
        burst.count += count;
        begins.then_some(LogLine::Begun(policy))
    }

    /// Ends a burst because the socket has taken all bytes. Returns the line with the number of
    /// dropped messages, unless another one was logged a moment ago.
    pub(super) fn end_burst(&mut self) -> Option<LogLine> {
        let burst = self.burst.as_mut()?;
        if burst.was_logged_recently() { None } else { burst.end(Instant::now()) }
    }

    /// Returns the line with the last drops, because the connection ends.
    pub(super) fn last_burst(&mut self) -> Option<LogLine> {
        self.burst.take()?.end(Instant::now())
    }
}
