//! The values that a session begins with.

#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::Arc;

use super::unfinished::UnfinishedTotal;
use crate::handshake::SwitchingProtocols;
use crate::hub::PendingMember;
use crate::outbox::Outbox;
use crate::router::CompiledRouter;
use crate::websocket::{Peer, WebSocket};

/// The settings of a session.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    pub(crate) router: Arc<CompiledRouter>,
    pub(crate) unfinished: Arc<UnfinishedTotal>,
}

impl SessionConfig {
    /// Creates the handle on a connection. Its outbox has no writer yet.
    pub(crate) fn socket(&self, peer: Peer) -> WebSocket {
        let CompiledRouter { namespace, tag, limits, .. } = &*self.router;
        let outbox = Outbox::new(limits, namespace.totals());
        WebSocket::new(outbox, peer, tag.clone(), namespace.registry())
    }
}

/// A connection after its handshake was accepted.
pub(crate) struct Accepted<'a> {
    pub(crate) peer: AcceptedPeer,
    /// The response to the handshake, which the session writes; `None` if an HTTP server writes it.
    pub(crate) answer: Option<SwitchingProtocols>,
    /// Bytes that the client sent right behind its request.
    pub(crate) leftover: &'a [u8],
}

/// The client of an accepted connection.
pub(crate) enum AcceptedPeer {
    /// No handle was needed for the handshake.
    Peer(Peer),
    /// A member of a room that was checked during the handshake, so there is a handle already.
    Member { member: PendingMember, room: Box<str> },
}

#[cfg(feature = "axum")]
impl AcceptedPeer {
    /// Sets the client's address if it was not known before.
    pub(crate) fn note_peer_addr(&self, addr: SocketAddr) {
        match self {
            Self::Peer(peer) => drop(peer.addr.set(addr)),
            Self::Member { member, .. } => member.note_peer_addr(addr),
        }
    }
}
