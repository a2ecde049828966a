//! The live connections of a server.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::id::ConnectionId;
use crate::outbox::{CloseWish, Outbound, Totals};
use crate::websocket::WebSocket;

/// Knows every connection from its acceptance to the return of its session.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    connections: Mutex<Connections>,
    total: AtomicU64,
    /// Sessions that have not returned; a session outlives its connection's place here.
    running: AtomicUsize,
    /// Told when a session has returned.
    returned: Notify,
}

/// Counts a session until it has returned.
#[derive(Debug)]
pub(crate) struct Running {
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Connections {
    sockets: HashMap<ConnectionId, WebSocket>,
    /// Those among them that have ended for everybody but their sessions.
    retired: usize,
    /// Set when everybody was asked to leave: who comes later is asked too.
    leave: Option<CloseWish>,
}

/// A connection's place in the hub; its session owns it, and the place ends with it.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Arc<Hub>,
    id: ConnectionId,
    is_retired: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(self: &Arc<Self>, socket: &WebSocket) -> Registration {
        let leave = {
            let mut connections = self.lock();
            connections.sockets.insert(socket.id(), socket.clone());
            connections.leave.clone()
        };
        self.total.fetch_add(1, Ordering::Relaxed);
        if let Some(wish) = leave {
            socket.outbox().wish_close(wish);
        }
        Registration { hub: Arc::clone(self), id: socket.id(), is_retired: false }
    }

    /// Asks every connection that is still to come to leave, and returns those there are.
    pub(crate) fn close_door(&self, wish: &CloseWish) -> Vec<WebSocket> {
        let mut connections = self.lock();
        connections.leave = Some(wish.clone());
        connections.sockets.values().cloned().collect()
    }

    /// Counts the calling session as running.
    pub(crate) fn enter(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running { hub: Arc::clone(self) }
    }

    /// Waits until no more than `rest()` sessions are running; it is asked whenever one returns.
    pub(crate) async fn drained(&self, rest: impl Fn() -> usize) {
        loop {
            let mut returned = pin!(self.returned.notified());
            // Registered before the count: a return in between is not missed.
            returned.as_mut().enable();
            if self.running.load(Ordering::Acquire) <= rest() {
                return;
            }
            returned.await;
        }
    }

    /// Makes [`drained`](Self::drained) count again.
    pub(crate) fn recount(&self) {
        self.returned.notify_waiters();
    }

    pub(crate) fn active(&self) -> usize {
        let connections = self.lock();
        connections.sockets.len() - connections.retired
    }

    /// What was sent to all connections, those that have ended included.
    pub(crate) fn outbound(&self, totals: &Totals) -> Outbound {
        totals.with(self.lock().sockets.values().map(WebSocket::outbox))
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Registration {
    /// The connection counts no longer; until its session returns it can still be cut.
    pub(crate) fn retire(&mut self) {
        self.is_retired = true;
        self.hub.lock().retired += 1;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut connections = self.hub.lock();
        connections.sockets.remove(&self.id);
        connections.retired -= usize::from(self.is_retired);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hub.running.fetch_sub(1, Ordering::Release);
        self.hub.recount();
    }
}
