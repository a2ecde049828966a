//! How a connection is asked to end, and who hears of it.

use std::sync::Arc;

use super::{CloseWish, Manner, Outbox, State};

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
    /// Asks the session to close the connection; the first wish counts.
    pub(crate) fn wish_close(&self, wish: CloseWish) {
        let mut state = self.lock();
        let late = state.sealed && wish.manner != Manner::Cut;
        // A wish gives way to a less patient one only.
        if late || state.wish.as_ref().is_some_and(|earlier| earlier.manner >= wish.manner) {
            return;
        }
        state.note_ending();
        if wish.manner != Manner::Graceful {
            self.set_closing();
        }
        state.wish = Some(wish);
        let sleeper = state.sleeper.take();
        drop(state);
        self.room.notify_waiters();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Takes back the waker, since nobody needs to wake a session that runs, and the wish to close
    /// if its time has come.
    pub(crate) fn attend(&self, idle: bool) -> Option<CloseWish> {
        let mut state = self.lock();
        state.sleeper = None;
        state.wish.take_if(|wish| wish.is_due(idle))
    }

    /// Whether the application has closed and the session has not acted on it yet.
    pub(crate) fn awaits_close(&self) -> bool {
        self.lock().wish.as_ref().is_some_and(|wish| wish.is_due(false))
    }

    /// Accepts no more messages, before the session is done with the peer.
    pub(crate) fn refuse(&self) {
        let mut state = self.lock();
        state.note_ending();
        self.set_closing();
        self.room.notify_waiters();
    }

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
