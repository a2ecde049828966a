//! The live connections of a namespace, and when they are gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::ConnectionId;
use crate::outbox::CloseRequest;
use crate::websocket::{Members, WebSocket};

/// Knows every connection from its handshake to the return of its session.
#[derive(Debug, Default)]
pub(super) struct Live {
    connections: Mutex<Connections>,
    total: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Those that were admitted and have not ended.
    admitted: HashMap<ConnectionId, WebSocket>,
    others: HashMap<ConnectionId, (WebSocket, Other)>,
    /// `admitted` as a list, until they change.
    listed: Option<Members>,
    /// Set when the server stops: connections that register later are closed as well.
    leave: Option<CloseRequest>,
}

/// Why a connection does not belong to those that are reached as all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    /// Its connect handlers have not all succeeded yet.
    Connecting,
    /// It has ended for everybody but its session.
    Gone,
}

impl Live {
    pub(super) fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        let connections = self.lock();
        let connecting = || match connections.others.get(&id) {
            Some((socket, Other::Connecting)) => Some(socket),
            _ => None,
        };
        connections.admitted.get(&id).or_else(connecting).cloned()
    }

    /// Everybody that was admitted, as a list that is made again when somebody has come or gone.
    pub(super) fn all(&self) -> Members {
        let mut connections = self.lock();
        let Connections { admitted, listed, .. } = &mut *connections;
        Arc::clone(listed.get_or_insert_with(|| admitted.values().cloned().collect()))
    }

    /// How many there were since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn active(&self) -> usize {
        self.lock().admitted.len()
    }

    /// Adds a connection, which is not admitted yet; returns the request to close if the server stops.
    pub(super) fn add(&self, socket: &WebSocket) -> Option<CloseRequest> {
        let leave = {
            let mut connections = self.lock();
            connections.others.insert(socket.id(), (socket.clone(), Other::Connecting));
            connections.leave.clone()
        };
        self.total.fetch_add(1, Ordering::Relaxed);
        leave
    }

    /// Admits a connection, unless it is gone already.
    pub(super) fn admit(&self, id: ConnectionId) {
        let _listed;
        let mut connections = self.lock();
        if let Some((_, Other::Connecting)) = connections.others.get(&id)
            && let Some((socket, _)) = connections.others.remove(&id)
        {
            connections.admitted.insert(id, socket);
            _listed = connections.listed.take();
        }
    }

    /// Notes that a connection is gone for everybody but its session. Returns the list that is out of
    /// date, for the caller to drop where it holds no lock.
    pub(super) fn retire(&self, id: ConnectionId) -> Option<Members> {
        let mut connections = self.lock();
        if let Some((_, other)) = connections.others.get_mut(&id) {
            *other = Other::Gone;
        }
        let socket = connections.admitted.remove(&id)?;
        connections.others.insert(id, (socket, Other::Gone));
        connections.listed.take()
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        let _socket = self.lock().others.remove(&id);
    }

    /// Asks every connection that is still to come to leave, and returns those there are.
    pub(super) fn close_door(&self, request: &CloseRequest) -> Vec<WebSocket> {
        let mut connections = self.lock();
        connections.leave = Some(request.clone());
        connections.sockets().cloned().collect()
    }
}

impl Connections {
    pub(super) fn sockets(&self) -> impl Iterator<Item = &WebSocket> {
        self.admitted.values().chain(self.others.values().map(|(socket, _)| socket))
    }
}
