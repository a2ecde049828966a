//! The live connections of a server, and when they are gone.

use std::collections::HashMap;
#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Hub;
use crate::id::ConnectionId;
use crate::outbox::{CloseRequest, Outbound};
use crate::websocket::{Members, WebSocket};

/// Knows every connection from its acceptance to the return of its session.
#[derive(Debug, Default)]
pub(super) struct Live {
    connections: Mutex<Connections>,
    total: AtomicU64,
}

#[derive(Debug, Default)]
struct Connections {
    sockets: HashMap<ConnectionId, WebSocket>,
    /// Those that have ended for everybody but their sessions.
    retired: HashMap<ConnectionId, WebSocket>,
    /// `sockets` as a list, until they change.
    listed: Option<Members>,
    /// Set when everybody was asked to leave: who comes later is asked too.
    leave: Option<CloseRequest>,
}

/// A connection's place in the hub; its session owns it, and the place ends with it.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Hub,
    socket: WebSocket,
    is_retired: bool,
}

/// A connection whose room of the path is being checked. If it is not accepted, nothing of it stays:
/// it leaves the rooms it has joined, the tasks it has spawned end, and the values it keeps are dropped.
#[derive(Debug)]
pub(crate) struct Candidate {
    hub: Hub,
    socket: WebSocket,
    is_accepted: bool,
}

impl Candidate {
    pub(crate) fn new(hub: &Hub, socket: WebSocket) -> Self {
        Self { hub: hub.clone(), socket, is_accepted: false }
    }

    /// Sets the address of a peer that was not known before.
    #[cfg(feature = "axum")]
    pub(crate) fn note_peer_addr(&self, addr: SocketAddr) {
        self.socket.note_peer_addr(addr);
    }

    pub(crate) fn accept(mut self) -> WebSocket {
        self.is_accepted = true;
        self.socket.clone()
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.is_accepted {
            self.hub.shared.end_membership(&self.socket);
            self.socket.outbox().end();
            // Nothing is spawned after the end of the outbox.
            self.socket.abort_tasks();
            self.socket.close_values();
        }
    }
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        self.lock().sockets.get(&id).cloned()
    }

    /// Everybody, as a list that is made again when somebody has come or gone.
    pub(super) fn all(&self) -> Members {
        let mut connections = self.lock();
        let Connections { sockets, listed, .. } = &mut *connections;
        Arc::clone(listed.get_or_insert_with(|| sockets.values().cloned().collect()))
    }

    pub(super) fn active(&self) -> usize {
        self.lock().sockets.len()
    }
}

impl Hub {
    pub(crate) fn register(&self, socket: &WebSocket) -> Registration {
        self.shared.note_runtime();
        let (leave, _listed) = {
            let mut connections = self.shared.live.lock();
            connections.sockets.insert(socket.id(), socket.clone());
            (connections.leave.clone(), connections.listed.take())
        };
        self.shared.live.total.fetch_add(1, Ordering::Relaxed);
        if let Some(request) = leave {
            socket.outbox().request_close(request);
        }
        Registration { hub: self.clone(), socket: socket.clone(), is_retired: false }
    }

    /// Asks every connection that is still to come to leave, and returns those there are.
    pub(crate) fn close_door(&self, request: &CloseRequest) -> Vec<WebSocket> {
        // Everybody leaves: nobody has to be told who.
        self.shared.announcers.end();
        let mut connections = self.shared.live.lock();
        connections.leave = Some(request.clone());
        let Connections { sockets, retired, .. } = &*connections;
        sockets.values().chain(retired.values()).cloned().collect()
    }

    /// What was sent to all connections, those that have ended included.
    pub(crate) fn outbound(&self) -> Outbound {
        let connections = self.shared.live.lock();
        let Connections { sockets, retired, .. } = &*connections;
        let sockets = sockets.values().chain(retired.values());
        self.shared.totals.with(sockets.map(WebSocket::outbox))
    }

    pub(crate) fn total(&self) -> u64 {
        self.shared.live.total.load(Ordering::Relaxed)
    }
}

impl Registration {
    /// The connection is gone for everybody, also from its rooms; until its session returns it can
    /// still be cut.
    pub(crate) fn retire(&mut self) {
        if std::mem::replace(&mut self.is_retired, true) {
            return;
        }
        let _listed = {
            let mut connections = self.hub.shared.live.lock();
            let id = self.socket.id();
            if let Some(socket) = connections.sockets.remove(&id) {
                connections.retired.insert(id, socket);
            }
            connections.listed.take()
        };
        self.hub.shared.end_membership(&self.socket);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.retire();
        let _socket = self.hub.shared.live.lock().retired.remove(&self.socket.id());
    }
}
