//! Senders that wait for room in the queue, in the order in which they began to wait.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Wakes senders when the queue may have room. Most connections never allocate it.
#[derive(Default)]
pub(super) struct Waiters {
    inner: OnceLock<Box<Inner>>,
}

struct Inner {
    /// Held by the sender that is first in line. The others wait behind it, so that small messages
    /// cannot use up the room that a large one waits for.
    turn: Semaphore,
    /// Notified when the queue may have room, after an attempt to write that a sender awaits, and
    /// when the connection closes.
    changed: Notify,
    /// The number of senders in line.
    senders: AtomicUsize,
}

/// A sender in line. Dropping it leaves the line.
pub(super) struct WaitingSender<'a> {
    inner: &'a Inner,
}

impl Waiters {
    fn inner(&self) -> &Inner {
        self.inner.get_or_init(|| {
            let senders = AtomicUsize::new(0);
            Box::new(Inner { turn: Semaphore::new(1), changed: Notify::new(), senders })
        })
    }

    /// Whether a sender is in line, so that a new one has to wait behind it.
    pub(super) fn has_senders(&self) -> bool {
        self.inner.get().is_some_and(|inner| inner.senders.load(Ordering::Relaxed) > 0)
    }

    /// Enters the line.
    pub(super) fn enter(&self) -> WaitingSender<'_> {
        let inner = self.inner();
        inner.senders.fetch_add(1, Ordering::Relaxed);
        WaitingSender { inner }
    }

    /// Resolves at the next [`notify_waiters`](Self::notify_waiters).
    pub(super) fn changed(&self) -> Notified<'_> {
        self.inner().changed.notified()
    }

    /// Wakes all tasks that wait for a change, so that they try again.
    pub(super) fn notify_waiters(&self) {
        if let Some(inner) = self.inner.get() {
            inner.changed.notify_waiters();
        }
    }
}

impl<'a> WaitingSender<'a> {
    /// Waits until every earlier sender has left the line.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'a>> {
        // The semaphore is never closed, so there is always a permit.
        self.inner.turn.acquire().await.ok()
    }
}

impl Drop for WaitingSender<'_> {
    fn drop(&mut self) {
        self.inner.senders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("has_senders", &self.has_senders()).finish()
    }
}
