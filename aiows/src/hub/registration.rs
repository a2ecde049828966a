//! The place of a connection in its namespace, from its registration on.

#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::Arc;

use super::Namespace;
use crate::error::Result;
use crate::websocket::{EndedBy, Registry, Standing, WebSocket};

/// A connection's place in the hub; its session owns it, and the place and what the connection keeps end
/// with it.
#[derive(Debug)]
pub(crate) struct Registration {
    namespace: Arc<Namespace>,
    socket: WebSocket,
}

/// A connection whose room of the path is being checked. If it is not accepted, nothing of it stays:
/// it leaves the rooms it has joined, the tasks it has spawned end, and the values it keeps are dropped.
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

impl Drop for PendingMember {
    fn drop(&mut self) {
        if !self.is_accepted {
            self.namespace.depart(&self.socket, Standing::Gone, EndedBy::Server);
            self.socket.outbox().end();
            // Nothing is spawned after the end of the outbox.
            self.socket.abort_tasks();
            self.socket.close_values();
        }
    }
}

impl Namespace {
    pub(crate) fn register(self: &Arc<Self>, socket: &WebSocket) -> Registration {
        self.latest.note();
        if let Some(request) = self.live.add(socket) {
            socket.outbox().request_close(request);
        }
        Registration { namespace: Arc::clone(self), socket: socket.clone() }
    }
}

impl Registration {
    /// Makes the connection one of all, and joins the room of its path, which it was allowed to.
    ///
    /// # Errors
    ///
    /// `too_many_rooms`, `room_full`; a closed connection is not admitted.
    pub(crate) fn admit(&self, room: Option<&str>) -> Result {
        let Self { namespace, socket } = self;
        namespace.enter(socket, room)?;
        // One that has left meanwhile is not among them.
        namespace.live.admit(socket.id());
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.namespace.depart(&self.socket, Standing::Gone, EndedBy::Server);
        self.namespace.live.remove(self.socket.id());
        // A session whose runtime ends has not come to it.
        self.socket.close_values();
    }
}
