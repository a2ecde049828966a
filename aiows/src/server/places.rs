//! The connections a server counts, and those among them that await its stop.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::{self, Id};

#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    /// Handlers and pages that await the stop, each of which has a place.
    asking: AtomicUsize,
    /// The tasks that run a connection with a place.
    tasks: Mutex<HashSet<Id>>,
    /// Notified when a place is given back or one more handler awaits the stop.
    changed: Notify,
}

/// A connection's share of `Limits::connections`, from its handshake to its end.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    task: Option<Id>,
}

/// Counts a handler or a page that awaits the stop, for which the stop must not wait.
#[derive(Debug)]
pub(super) struct Asking {
    places: Arc<Places>,
}

impl Places {
    /// Takes one of `limit` places; dropping it gives it back.
    pub(super) fn take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < limit).then_some(taken + 1)
        });
        taken.ok().map(|_| Place { places: Arc::clone(self), task: None })
    }

    pub(super) fn ask(self: &Arc<Self>) -> Asking {
        self.asking.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
        Asking { places: Arc::clone(self) }
    }

    /// Whether the calling task runs one of the connections.
    pub(super) fn is_current_task_counted(&self) -> bool {
        task::try_id().is_some_and(|id| self.tasks().contains(&id))
    }

    /// Waits until every place that is left belongs to somebody who awaits the stop.
    pub(super) async fn drained(&self) {
        self.wait_for(|taken| taken <= self.asking.load(Ordering::Relaxed)).await;
    }

    pub(super) async fn empty(&self) {
        self.wait_for(|taken| taken == 0).await;
    }

    async fn wait_for(&self, wanted: impl Fn(usize) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the count, so that no change in between is missed.
            changed.as_mut().enable();
            if wanted(self.taken.load(Ordering::Acquire)) {
                return;
            }
            changed.await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes that the calling task runs the connection.
    pub(super) fn enter(&mut self) {
        self.leave();
        self.task = task::try_id();
        if let Some(id) = self.task {
            self.places.tasks().insert(id);
        }
    }

    fn leave(&mut self) {
        if let Some(id) = self.task.take() {
            self.places.tasks().remove(&id);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
        self.places.taken.fetch_sub(1, Ordering::Release);
        self.places.changed.notify_waiters();
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.places.asking.fetch_sub(1, Ordering::Relaxed);
    }
}
