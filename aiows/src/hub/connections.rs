//! The connections of a namespace, from the handshake to the end of the session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::ConnectionId;
use crate::outbox::CloseRequest;
use crate::websocket::{Members, WebSocket};

/// Holds every connection from its handshake until its session returns.
#[derive(Debug, Default)]
pub(super) struct Connections {
    state: Mutex<State>,
    /// How many connections were registered; never decreases.
    total: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Admitted connections: their connect handlers have succeeded, and they have not ended.
    admitted: HashMap<ConnectionId, WebSocket>,
    /// All other connections: before their admission, or after their end.
    excluded: HashMap<ConnectionId, (WebSocket, Excluded)>,
    /// `admitted` as a list; taken when a connection is added or removed.
    snapshot: Option<Members>,
    /// Set when the server stops; connections that register later are closed with it.
    shutdown: Option<CloseRequest>,
}

/// Why `Hub::all` leaves a connection out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excluded {
    /// Some of its connect handlers have not succeeded yet.
    Connecting,
    /// It has left all rooms, but its session is still running.
    Departed,
}

impl Connections {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        let state = self.lock();
        let connecting = || match state.excluded.get(&id) {
            Some((socket, Excluded::Connecting)) => Some(socket),
            _ => None,
        };
        state.admitted.get(&id).or_else(connecting).cloned()
    }

    /// Returns the admitted connections. The list is rebuilt only after a change.
    pub(super) fn all(&self) -> Members {
        let mut state = self.lock();
        let State { admitted, snapshot, .. } = &mut *state;
        Arc::clone(snapshot.get_or_insert_with(|| admitted.values().cloned().collect()))
    }

    /// Returns how many connections were registered since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn active(&self) -> usize {
        self.lock().admitted.len()
    }

    /// Adds a connection that is not admitted yet. Returns the close request to apply to it if the
    /// server is stopping.
    pub(super) fn add(&self, socket: &WebSocket) -> Option<CloseRequest> {
        let shutdown = {
            let mut state = self.lock();
            state.excluded.insert(socket.id(), (socket.clone(), Excluded::Connecting));
            state.shutdown.clone()
        };
        self.total.fetch_add(1, Ordering::Relaxed);
        shutdown
    }

    /// Admits a connection, unless it has already departed.
    pub(super) fn admit(&self, id: ConnectionId) {
        let _snapshot;
        let mut state = self.lock();
        if let Some((_, Excluded::Connecting)) = state.excluded.get(&id)
            && let Some((socket, _)) = state.excluded.remove(&id)
        {
            state.admitted.insert(id, socket);
            _snapshot = state.snapshot.take();
        }
    }

    /// Marks a connection as departed. Returns the outdated list, which the caller drops once it
    /// holds no lock.
    pub(super) fn retire(&self, id: ConnectionId) -> Option<Members> {
        let mut state = self.lock();
        if let Some((_, reason)) = state.excluded.get_mut(&id) {
            *reason = Excluded::Departed;
        }
        let socket = state.admitted.remove(&id)?;
        state.excluded.insert(id, (socket, Excluded::Departed));
        state.snapshot.take()
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        let _socket = self.lock().excluded.remove(&id);
    }

    /// Makes later connections close with `request`, and returns the present ones.
    pub(super) fn stop_admitting(&self, request: &CloseRequest) -> Vec<WebSocket> {
        let mut state = self.lock();
        state.shutdown = Some(request.clone());
        state.sockets().cloned().collect()
    }
}

impl State {
    pub(super) fn sockets(&self) -> impl Iterator<Item = &WebSocket> {
        self.admitted.values().chain(self.excluded.values().map(|(socket, _)| socket))
    }
}
