use std::sync::Arc;

use super::{Outbox, State};

impl State {
    /// Tells everybody who waits for it that the connection ends.
    pub(super) fn note_ending(&mut self) {
        self.ending = true;
        if let Some(watched) = self.watched.take() {
            watched.notify_waiters();
        }
    }
}

impl Outbox {
    /// The peer is about to leave: what it has sent before is still answered.
    pub(crate) fn note_ending(&self) {
        self.lock().note_ending();
    }

    /// Waits until the connection ends or is about to.
    pub(crate) async fn ending(&self) {
        let watched = {
            let mut state = self.lock();
            if state.ending {
                return;
            }
            Arc::clone(state.watched.get_or_insert_default())
        };
        let mut told = std::pin::pin!(watched.notified());
        // Registered before the second look: an end in between is not missed.
        told.as_mut().enable();
        if !self.lock().ending {
            told.await;
        }
    }
}
