//! The registration of a connection with its namespace, and its end.

#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::Arc;

use super::Namespace;
use crate::error::Result;
use crate::websocket::{EndedBy, Registry, Standing, WebSocket};

/// A registered connection. The session owns this value. When it is dropped, the connection leaves
/// its namespace and its values are dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    namespace: Arc<Namespace>,
    socket: WebSocket,
}

/// A connection during the check of its path's room. If it is dropped before
/// [`accept`](Self::accept), the connection leaves all rooms, its tasks are aborted and its values
/// are dropped.
#[derive(Debug)]
pub(crate) struct PendingMember {
    namespace: Arc<Namespace>,
    socket: WebSocket,
    is_accepted: bool,
}

impl PendingMember {
    pub(crate) fn new(namespace: &Arc<Namespace>, socket: WebSocket) -> Self {
        Self { namespace: Arc::clone(namespace), socket, is_accepted: false }
    }

    /// Sets the peer's address, if it was unknown before.
    #[cfg(feature = "axum")]
    pub(crate) fn note_peer_addr(&self, addr: SocketAddr) {
        self.socket.note_peer_addr(addr);
    }

    pub(crate) fn accept(mut self) -> WebSocket {
        self.is_accepted = true;
        self.socket.clone()
    }
}

impl Drop for PendingMember {
    fn drop(&mut self) {
        if !self.is_accepted {
            self.namespace.depart(&self.socket, Standing::Disconnected, EndedBy::Server);
            self.socket.outbox().end();
            // After the end of the outbox no task can be spawned.
            self.socket.abort_tasks();
            self.socket.close_values();
        }
    }
}

impl Namespace {
    pub(crate) fn register(self: &Arc<Self>, socket: &WebSocket) -> Registration {
        self.latest.note();
        if let Some(request) = self.connections.add(socket) {
            socket.outbox().request_close(request);
        }
        Registration { namespace: Arc::clone(self), socket: socket.clone() }
    }
}

impl Registration {
    /// Admits the connection and joins the room of its path, which the room check has allowed.
    ///
    /// # Errors
    ///
    /// `too_many_rooms` or `room_full`. A closed connection is not admitted.
    pub(crate) fn admit(&self, room: Option<&str>) -> Result {
        let Self { namespace, socket } = self;
        namespace.join_path_room(socket, room)?;
        // Has no effect if the connection has departed in the meantime.
        namespace.connections.admit(socket.id());
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.namespace.depart(&self.socket, Standing::Disconnected, EndedBy::Server);
        self.namespace.connections.remove(self.socket.id());
        // If a runtime shuts down, the session has not done this.
        self.socket.close_values();
    }
}
