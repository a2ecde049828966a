//! What waits for a handler to return, since when, and whether the log has named the handler.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::SLOW_HANDLER;

#[derive(Default)]
pub(super) struct Waiting {
    /// Since when nothing is read because the inbound queue is full.
    pub(super) unread: Option<Instant>,
    /// The handler itself, from when it was first pending.
    handler: Option<Pending>,
}

struct Pending {
    since: Instant,
    /// How often it was time to name it.
    lapses: u32,
    naming: Naming,
}

/// Whether the log names a pending handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
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
            lapses: 0,
            naming: Naming::NotYet,
        });
    }

    /// How long the handler has been pending.
    pub(super) fn handler_time(&self) -> Duration {
        self.handler.as_ref().map_or(Duration::ZERO, |handler| handler.since.elapsed())
    }

    /// When it is time to name the handler, unless that has happened.
    #[cold]
    pub(super) fn slow_at(&self) -> Option<Instant> {
        let handler = self.handler.as_ref()?;
        let lapse = SLOW_HANDLER * handler.lapses.saturating_add(1);
        (handler.naming == Naming::NotYet).then(|| handler.since + lapse)
    }

    #[cold]
    pub(super) fn note_lapse(&mut self) {
        if let Some(handler) = &mut self.handler {
            handler.lapses += 1;
        }
    }

    /// Has the log name the handler.
    #[cold]
    pub(super) fn name_handler(&mut self) {
        if let Some(handler) = &mut self.handler {
            handler.naming = Naming::Due;
        }
    }

    /// Whether the log has to name the handler now.
    pub(super) fn take_slow(&mut self) -> bool {
        match &mut self.handler {
            Some(handler) if handler.naming == Naming::Due => {
                handler.naming = Naming::Done;
                true
            }
            _ => false,
        }
    }
}
