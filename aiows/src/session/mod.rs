//! The life of one connection: all per-connection concurrency lives here.

mod clock;
mod connect;
mod dispatch;
mod drive;
mod io;
mod leave;
mod relay;
mod unfinished;
mod waiting;

#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use self::io::{ConnectionIo, Step};
use self::unfinished::Unfinished;
pub(crate) use self::unfinished::UnfinishedTotal;
use crate::extract::{Call, Stage};
use crate::hub::{Candidate, Registration};
use crate::id::ConnectionId;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::protocol::Protocol;
use crate::router::{CompiledHandler, CompiledRouter};
use crate::transport::{Io, Stream, TcpWriter};
use crate::websocket::{EndedBy, Peer, Standing, WebSocket};

/// What a session needs besides its socket.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) router: Arc<CompiledRouter>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) unfinished: Arc<UnfinishedTotal>,
}

impl Setting {
    /// Makes the handle on a connection, which has nothing to write to yet.
    pub(crate) fn socket(&self, peer: Peer) -> WebSocket {
        let CompiledRouter { namespace, tag, .. } = &*self.router;
        let outbox = Outbox::new(&self.limits, namespace.totals());
        WebSocket::new(outbox, peer, tag.clone(), namespace.registry())
    }
}

/// A connection whose handshake was accepted.
pub(crate) struct Accepted<'a> {
    pub(crate) newcomer: Newcomer,
    /// The answer to the handshake, not yet written.
    pub(crate) greeting: Vec<u8>,
    /// What the peer sent right behind its request.
    pub(crate) leftover: &'a [u8],
}

/// Who is at the other end of an accepted connection.
pub(crate) enum Newcomer {
    Peer(Peer),
    /// A room had to be asked before the acceptance, so there is a handle already.
    Candidate {
        candidate: Candidate,
        room: Box<str>,
    },
}

#[cfg(feature = "axum")]
impl Newcomer {
    /// Sets the address of a peer that was not known before.
    pub(crate) fn note_peer_addr(&self, addr: SocketAddr) {
        match self {
            Self::Peer(peer) => drop(peer.addr.set(addr)),
            Self::Candidate { candidate, .. } => candidate.note_peer_addr(addr),
        }
    }
}

/// One connection, from its acceptance to its end.
pub(crate) struct Session {
    io: ConnectionIo,
    socket: WebSocket,
    router: Arc<CompiledRouter>,
    /// The room of the path, until it is joined.
    room: Option<Box<str>>,
    /// Used again for the next message when no handler has kept it.
    call: Option<Call>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A session whose runtime ends has not come to it.
        self.socket.close_values();
    }
}

/// Whether all connect handlers have succeeded, so that the disconnect handlers have to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Admitted,
    Refused,
}

impl Session {
    pub(crate) fn tcp(stream: TcpStream, accepted: Accepted<'_>, setting: Setting) -> Self {
        let (io, writer) = Io::tcp(stream);
        Self::new(io, Some(writer), accepted, setting)
    }

    pub(crate) fn stream(
        stream: Box<dyn Stream>,
        accepted: Accepted<'_>,
        setting: Setting,
    ) -> Self {
        Self::new(Io::stream(stream), None, accepted, setting)
    }

    fn new(io: Io, writer: Option<TcpWriter>, accepted: Accepted<'_>, setting: Setting) -> Self {
        let Accepted { newcomer, greeting, leftover } = accepted;
        let (socket, room) = match newcomer {
            Newcomer::Peer(peer) => (setting.socket(peer), None),
            Newcomer::Candidate { candidate, room } => (candidate.accept(), Some(room)),
        };
        socket.outbox().open(greeting, writer);
        let Setting { router, limits, unfinished } = setting;
        let protocol = Protocol::new(&limits, leftover);
        let unfinished = Unfinished::new(unfinished);
        let io = ConnectionIo::new(io, protocol, socket.clone(), limits, unfinished);
        Self { io, socket, router, room, call: None }
    }

    /// The connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.socket.id()
    }

    /// Runs the connection to its end; the disconnect handlers have run when it returns.
    ///
    /// It borrows the session, because a future that owns one has room for it twice.
    pub(crate) async fn run(&mut self) {
        let registration = self.router.namespace.register(&self.socket);
        self.log_connected();
        let router = Arc::clone(&self.router);
        let admission = self.serve(&router, &registration).await;
        let reason = self.io.reason();
        tracing::debug!(connection = %self.socket.id(), %reason, "disconnected");
        // The client is gone for all other tasks before its disconnect handlers run.
        self.socket.depart(Standing::Over, EndedBy::Server);
        self.socket.outbox().seal(None);
        self.socket.end_tasks().await;
        let handlers = match admission {
            Admission::Admitted => &router.disconnect,
            Admission::Refused => &router.refused,
        };
        // Boxed as well.
        Box::pin(self.disconnect(handlers, &reason)).await;
        self.socket.depart(Standing::Gone, EndedBy::Server);
        self.socket.close_values();
        self.io.finish().await;
    }

    fn log_connected(&self) {
        let (connection, namespace) = (self.id(), self.socket.namespace());
        tracing::debug!(%connection, namespace, peer = ?self.socket.peer_addr(), "connected");
    }

    /// Runs the connect handlers, admits the connection and handles messages until the end.
    async fn serve(&mut self, router: &CompiledRouter, registration: &Registration) -> Admission {
        // Boxed, so that a connection keeps no room for it afterwards.
        if !Box::pin(self.enter(router, registration)).await {
            return Admission::Refused;
        }
        self.messages(router).await;
        Admission::Admitted
    }

    /// Handles messages until the connection ends.
    async fn messages(&mut self, router: &CompiledRouter) {
        while let Step::Message(inbound) = self.io.next().await {
            if !self.handle(router, inbound).await {
                return;
            }
        }
    }

    fn call_for(&self, endpoint: &CompiledHandler, stage: Stage) -> Call {
        Call::new(self.socket.clone(), Arc::clone(&endpoint.state), stage)
    }
}
