//! Waiting for room in the queue, in the order of the senders.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Wakes senders when the queue may have room; most connections never allocate it.
#[derive(Default)]
pub(super) struct Room {
    waiters: OnceLock<Box<Waiters>>,
}

struct Waiters {
    /// Held by the first sender: the others wait behind it, so that small messages cannot use up
    /// the room a large one waits for.
    turn: Semaphore,
    changed: Notify,
    senders: AtomicUsize,
}

/// One sender in the line; leaves it when dropped.
pub(super) struct InLine<'a> {
    waiters: &'a Waiters,
}

impl Room {
    fn waiters(&self) -> &Waiters {
        self.waiters.get_or_init(|| {
            let senders = AtomicUsize::new(0);
            Box::new(Waiters { turn: Semaphore::new(1), changed: Notify::new(), senders })
        })
    }

    /// Whether a sender waits, behind which a new one has to wait too.
    pub(super) fn has_line(&self) -> bool {
        self.waiters.get().is_some_and(|waiters| waiters.senders.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn stand_in_line(&self) -> InLine<'_> {
        let waiters = self.waiters();
        waiters.senders.fetch_add(1, Ordering::Relaxed);
        InLine { waiters }
    }

    /// Resolves at the next [`notify_waiters`](Self::notify_waiters).
    pub(super) fn changed(&self) -> Notified<'_> {
        self.waiters().changed.notified()
    }

    /// Wakes everything that waits for room, to try again.
    pub(super) fn notify_waiters(&self) {
        if let Some(waiters) = self.waiters.get() {
            waiters.changed.notify_waiters();
        }
    }
}

impl<'a> InLine<'a> {
    /// Waits until every earlier sender has left the line.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'a>> {
        // Never closed, so there is always a permit.
        self.waiters.turn.acquire().await.ok()
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.waiters.senders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("has_line", &self.has_line()).finish()
    }
}
