//! What a session begins with.

#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::Arc;

use super::unfinished::UnfinishedTotal;
use crate::handshake::SwitchingProtocols;
use crate::hub::PendingMember;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::router::CompiledRouter;
use crate::websocket::{Peer, WebSocket};

/// What a session needs besides its socket.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    pub(crate) router: Arc<CompiledRouter>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) unfinished: Arc<UnfinishedTotal>,
}

impl SessionConfig {
    /// Makes the handle on a connection, which has nothing to write to yet.
    pub(crate) fn socket(&self, peer: Peer) -> WebSocket {
        let CompiledRouter { namespace, tag, .. } = &*self.router;
        let outbox = Outbox::new(&self.limits, namespace.totals());
        WebSocket::new(outbox, peer, tag.clone(), namespace.registry())
    }
}

/// A connection whose handshake was accepted.
pub(crate) struct Accepted<'a> {
    pub(crate) peer: AcceptedPeer,
    /// The answer to the handshake, which the session writes. `None` if an HTTP server writes it.
    pub(crate) answer: Option<SwitchingProtocols>,
    /// What the peer sent right behind its request.
    pub(crate) leftover: &'a [u8],
}

/// Who is at the other end of an accepted connection.
pub(crate) enum AcceptedPeer {
    Peer(Peer),
    /// A room had to be asked before the acceptance, so there is a handle already.
    Member {
        member: PendingMember,
        room: Box<str>,
    },
}

#[cfg(feature = "axum")]
impl AcceptedPeer {
    /// Sets the address of a peer that was not known before.
    pub(crate) fn note_peer_addr(&self, addr: SocketAddr) {
        match self {
            Self::Peer(peer) => drop(peer.addr.set(addr)),
            Self::Member { member, .. } => member.note_peer_addr(addr),
        }
    }
}
