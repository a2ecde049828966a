use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::{self, Id};

use crate::id::ConnectionId;

/// The count of a server's connections, and the connections that await its stop.
#[derive(Debug, Default)]
pub(crate) struct ConnectionPermits {
    taken: AtomicUsize,
    holders: Mutex<Holders>,
    /// Notified when a permit is dropped or one more connection awaits the stop.
    changed: Notify,
}

/// The connections with a permit, by the tasks that run them.
#[derive(Debug, Default)]
struct Holders {
    by_task: HashMap<Id, Holder>,
    /// The number of connections that await the stop.
    waiting: usize,
}

#[derive(Debug)]
struct Holder {
    /// `None` for an HTTP connection.
    connection: Option<ConnectionId>,
    /// The number of [`StopWaiter`]s of this connection.
    waiters: usize,
}

/// One of the `Limits::connections` that a server may have, held from the handshake to the end.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    permits: Arc<ConnectionPermits>,
    task: Option<Id>,
}

/// Why a server has no permit for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPermit {
    Full,
    Stopping,
}

/// Exists while a handler or a page awaits the stop, so that the stop does not wait for its
/// connection.
#[derive(Debug)]
pub(super) struct StopWaiter {
    permits: Arc<ConnectionPermits>,
    /// The task that runs the connection.
    task: Id,
}

impl Holders {
    fn add_waiter(&mut self, task: Id) {
        if let Some(holder) = self.by_task.get_mut(&task) {
            holder.waiters += 1;
            self.waiting += usize::from(holder.waiters == 1);
        }
    }

    /// Removes a waiter. Its connection may have ended before.
    fn remove_waiter(&mut self, task: Id) {
        if let Some(holder) = self.by_task.get_mut(&task) {
            holder.waiters -= 1;
            self.waiting -= usize::from(holder.waiters == 0);
        }
    }

    fn remove(&mut self, task: Id) {
        if let Some(holder) = self.by_task.remove(&task) {
            self.waiting -= usize::from(holder.waiters > 0);
        }
    }
}

impl ConnectionPermits {
    /// Takes one of `limit` permits, if one is free.
    pub(super) fn take(self: &Arc<Self>, limit: usize) -> Option<ConnectionPermit> {
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < limit).then_some(taken + 1)
        });
        taken.ok().map(|_| ConnectionPermit { permits: Arc::clone(self), task: None })
    }

    pub(super) fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire) > 0
    }

    /// Makes a waiter for a connection, unless the connection has ended.
    pub(super) fn waiter_of(self: &Arc<Self>, connection: ConnectionId) -> Option<StopWaiter> {
        let holders = self.holders();
        let mut tasks = holders.by_task.iter();
        let (task, _) = tasks.find(|(_, holder)| holder.connection == Some(connection))?;
        let task = *task;
        Some(self.add_waiter(holders, task))
    }

    /// Makes a waiter for the connection of the calling task, if that task runs one.
    pub(super) fn waiter_of_current_task(self: &Arc<Self>) -> Option<StopWaiter> {
        let task = task::try_id()?;
        let holders = self.holders();
        holders.by_task.contains_key(&task).then(|| self.add_waiter(holders, task))
    }

    fn add_waiter(self: &Arc<Self>, mut holders: MutexGuard<'_, Holders>, task: Id) -> StopWaiter {
        holders.add_waiter(task);
        drop(holders);
        self.changed.notify_waiters();
        StopWaiter { permits: Arc::clone(self), task }
    }

    /// Waits until every connection that is left awaits the stop.
    pub(super) async fn drained(&self) {
        self.wait_for(|taken| taken <= self.holders().waiting).await;
    }

    pub(super) async fn empty(&self) {
        self.wait_for(|taken| taken == 0).await;
    }

    async fn wait_for(&self, wanted: impl Fn(usize) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the count is read, so that no change is missed.
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

impl ConnectionPermit {
    /// Records that the calling task runs the connection.
    pub(crate) fn enter(&mut self, connection: Option<ConnectionId>) {
        self.leave();
        self.task = task::try_id();
        if let Some(task) = self.task {
            self.permits.holders().by_task.insert(task, Holder { connection, waiters: 0 });
        }
    }

    fn leave(&mut self) {
        if let Some(task) = self.task.take() {
            self.permits.holders().remove(task);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.leave();
        self.permits.taken.fetch_sub(1, Ordering::Release);
        self.permits.changed.notify_waiters();
    }
}

impl Drop for StopWaiter {
    fn drop(&mut self) {
        self.permits.holders().remove_waiter(self.task);
    }
}
