//! The live connections of a server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::ConnectionId;
use crate::outbox::CloseWish;
use crate::websocket::WebSocket;

/// Knows every connection from its acceptance to its end.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    connections: Mutex<Connections>,
    total: AtomicU64,
}

#[derive(Debug, Default)]
struct Connections {
    sockets: HashMap<ConnectionId, WebSocket>,
    /// Set when everybody was asked to leave: who comes later is asked too.
    leave: Option<CloseWish>,
}

/// A connection's place in the hub; its session owns it, and the place ends with it.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Arc<Hub>,
    id: ConnectionId,
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
        Registration { hub: Arc::clone(self), id: socket.id() }
    }

    /// Asks every connection to leave, those to come included.
    pub(crate) fn close_all(&self, wish: &CloseWish) {
        let sockets: Vec<WebSocket> = {
            let mut connections = self.lock();
            connections.leave = Some(wish.clone());
            connections.sockets.values().cloned().collect()
        };
        for socket in sockets {
            socket.outbox().wish_close(wish.clone());
        }
    }

    pub(crate) fn active(&self) -> usize {
        self.lock().sockets.len()
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.hub.lock().sockets.remove(&self.id);
    }
}
