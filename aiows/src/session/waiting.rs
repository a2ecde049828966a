//! How long a pending handler keeps the connection waiting, and whether the log has named the
//! handler.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::SLOW_HANDLER;

#[derive(Default)]
/// The effects of a pending handler, until the handler returns.
pub(super) struct Waiting {
    /// The time since which no bytes are read because the inbound queue is full.
    pub(super) full_since: Option<Instant>,
    /// The handler itself, once it has been pending.
    handler: Option<Pending>,
}

struct Pending {
    /// The time at which it was first pending.
    since: Instant,
    /// How many periods of `SLOW_HANDLER` have passed.
    periods: u32,
    warning: SlowWarning,
}

/// Whether the log has named a slow handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlowWarning {
    NotYet,
    Due,
    Done,
}

impl Waiting {
    /// Notes that a handler is pending.
    #[cold]
    pub(super) fn note_pending(&mut self) {
        self.handler.get_or_insert_with(|| Pending {
            since: Instant::now(),
            periods: 0,
            warning: SlowWarning::NotYet,
        });
    }

    /// Returns how long the handler has been pending.
    pub(super) fn handler_time(&self) -> Duration {
        self.handler.as_ref().map_or(Duration::ZERO, |handler| handler.since.elapsed())
    }

    /// Returns when the log has to name the handler, unless it already has.
    #[cold]
    pub(super) fn slow_at(&self) -> Option<Instant> {
        let handler = self.handler.as_ref()?;
        let slow_after = SLOW_HANDLER * handler.periods.saturating_add(1);
        (handler.warning == SlowWarning::NotYet).then(|| handler.since + slow_after)
    }

    #[cold]
    /// Notes that another period has passed.
    pub(super) fn note_period(&mut self) {
        if let Some(handler) = &mut self.handler {
            handler.periods += 1;
        }
    }

    /// Makes the log name the handler.
    #[cold]
    pub(super) fn set_warning_due(&mut self) {
        if let Some(handler) = &mut self.handler {
            handler.warning = SlowWarning::Due;
        }
    }

    /// Returns whether the log has to name the handler now, once.
    pub(super) fn take_slow_warning(&mut self) -> bool {
        match &mut self.handler {
            Some(handler) if handler.warning == SlowWarning::Due => {
                handler.warning = SlowWarning::Done;
                true
            }
            _ => false,
        }
    }
}
