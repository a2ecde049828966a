//! The connections a server counts, and those among them that await its stop.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::{self, Id};

use crate::id::ConnectionId;

#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: AtomicUsize,
    holders: Mutex<Holders>,
    /// Notified when a place is given back or one more connection awaits the stop.
    changed: Notify,
}

/// The connections with a place, by the tasks that run them.
#[derive(Debug, Default)]
struct Holders {
    by_task: HashMap<Id, Holder>,
    /// How many of them await the stop.
    asking: usize,
}

#[derive(Debug)]
struct Holder {
    /// `None` for an HTTP connection.
    connection: Option<ConnectionId>,
    /// Stops that handlers or pages of this connection await.
    stops: usize,
}

/// A connection's share of `Limits::connections`, from its handshake to its end.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    task: Option<Id>,
}

/// Notes that a handler or a page awaits the stop, which must not wait for its connection.
#[derive(Debug)]
pub(crate) struct Asking {
    places: Arc<Places>,
    /// The task that runs the connection.
    task: Id,
}

impl Holders {
    fn ask(&mut self, task: Id) {
        if let Some(holder) = self.by_task.get_mut(&task) {
            holder.stops += 1;
            self.asking += usize::from(holder.stops == 1);
        }
    }

    /// Ends one `ask`; the connection may have ended before.
    fn end_ask(&mut self, task: Id) {
        if let Some(holder) = self.by_task.get_mut(&task) {
            holder.stops -= 1;
            self.asking -= usize::from(holder.stops == 0);
        }
    }

    fn remove(&mut self, task: Id) {
        if let Some(holder) = self.by_task.remove(&task) {
            self.asking -= usize::from(holder.stops > 0);
        }
    }
}

impl Places {
    /// Takes one of `limit` places; dropping it gives it back.
    pub(crate) fn take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < limit).then_some(taken + 1)
        });
        taken.ok().map(|_| Place { places: Arc::clone(self), task: None })
    }

    pub(crate) fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire) > 0
    }

    /// Notes that the connection of a handler awaits the stop, unless it has ended.
    pub(crate) fn ask_for(self: &Arc<Self>, connection: ConnectionId) -> Option<Asking> {
        let holders = self.holders();
        let mut tasks = holders.by_task.iter();
        let (task, _) = tasks.find(|(_, holder)| holder.connection == Some(connection))?;
        let task = *task;
        Some(self.ask(holders, task))
    }

    /// Notes the same of the connection that the calling task runs, if it runs one.
    pub(crate) fn ask_for_current_task(self: &Arc<Self>) -> Option<Asking> {
        let task = task::try_id()?;
        let holders = self.holders();
        holders.by_task.contains_key(&task).then(|| self.ask(holders, task))
    }

    fn ask(self: &Arc<Self>, mut holders: MutexGuard<'_, Holders>, task: Id) -> Asking {
        holders.ask(task);
        drop(holders);
        self.changed.notify_waiters();
        Asking { places: Arc::clone(self), task }
    }

    /// Waits until every place that is left belongs to somebody who awaits the stop.
    pub(crate) async fn drained(&self) {
        self.wait_for(|taken| taken <= self.holders().asking).await;
    }

    pub(crate) async fn empty(&self) {
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

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes that the calling task runs the connection.
    pub(crate) fn enter(&mut self, connection: Option<ConnectionId>) {
        self.leave();
        self.task = task::try_id();
        if let Some(task) = self.task {
            self.places.holders().by_task.insert(task, Holder { connection, stops: 0 });
        }
    }

    fn leave(&mut self) {
        if let Some(task) = self.task.take() {
            self.places.holders().remove(task);
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
        self.places.holders().end_ask(self.task);
    }
}
