//! What the log says about messages that a policy drops: once when it begins, and their number.

use tokio::time::{Duration, Instant};

use super::State;
use crate::id::ConnectionId;
use crate::limits::Overflow;

/// The least time between the numbers that the log has of one connection: a client that keeps
/// stalling for a moment must not fill the log.
const QUIET: Duration = Duration::from_secs(1);

/// Messages that were dropped to make room, or for want of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    pub(super) policy: Overflow,
    pub(super) count: u64,
}

/// The drops of a connection from the first one until its socket has taken everything.
#[derive(Debug)]
pub(super) struct Spell {
    policy: Overflow,
    /// Dropped messages whose number is not logged yet.
    count: u64,
    /// When a number was last logged.
    logged_at: Option<Instant>,
}

/// A line of the log, written when the lock is released.
#[derive(Debug)]
pub(super) enum Line {
    Begun(Overflow),
    Over(Dropped),
}

impl Line {
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

impl Spell {
    fn is_quiet(&self) -> bool {
        self.logged_at.is_some_and(|at| at.elapsed() < QUIET)
    }

    fn end(&mut self, now: Instant) -> Option<Line> {
        if self.count == 0 {
            return None;
        }
        self.logged_at = Some(now);
        let count = std::mem::take(&mut self.count);
        Some(Line::Over(Dropped { policy: self.policy, count }))
    }
}

impl State {
    /// Counts drops for the log; returns the line that begins a spell.
    pub(super) fn note_dropped(&mut self, dropped: Dropped) -> Option<Line> {
        let Dropped { policy, count } = dropped;
        if count == 0 {
            return None;
        }
        let spell =
            self.spell.get_or_insert_with(|| Box::new(Spell { policy, count: 0, logged_at: None }));
        let begins = spell.count == 0 && !spell.is_quiet();
        if spell.count == 0 {
            spell.policy = policy;
        }
        spell.count += count;
        begins.then_some(Line::Begun(policy))
    }

    /// The socket has taken everything; returns the line with the number of dropped messages,
    /// unless another one was written a moment ago.
    pub(super) fn end_spell(&mut self) -> Option<Line> {
        let spell = self.spell.as_mut()?;
        if spell.is_quiet() { None } else { spell.end(Instant::now()) }
    }

    /// The connection ends; returns the line with what is left to be logged.
    pub(super) fn last_spell(&mut self) -> Option<Line> {
        self.spell.take()?.end(Instant::now())
    }
}
