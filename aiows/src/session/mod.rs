//! The life of one connection: all per-connection concurrency lives here.

mod accepted;
mod clock;
mod connect;
mod dispatch;
mod drive;
mod io;
mod leave;
mod relay;
mod unfinished;
mod waiting;

use std::future::poll_fn;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

pub(crate) use self::accepted::{Accepted, AcceptedPeer, SessionConfig};
use self::io::{ConnectionIo, Step};
use self::unfinished::Unfinished;
pub(crate) use self::unfinished::UnfinishedTotal;
use crate::extract::{Call, Stage};
use crate::hub::Registration;
use crate::id::ConnectionId;
use crate::protocol::Protocol;
use crate::router::{CompiledHandler, CompiledRouter};
use crate::transport::{Io, Stream, TcpWriter};
use crate::websocket::{EndedBy, Standing, WebSocket};

/// One connection, from its acceptance to its end.
///
/// This file has the whole of it, `connect.rs` the connect handlers, `dispatch.rs` one message, `relay.rs`
/// one frame of a relay, `leave.rs` a disconnect handler.
pub(crate) struct Session {
    /// Dropped first: the connection belongs to nothing any more when its socket closes.
    registration: Registration,
    io: ConnectionIo,
    socket: WebSocket,
    router: Arc<CompiledRouter>,
    /// The room of the path, until it is joined.
    room: Option<Box<str>>,
    /// Used again for the next message when no handler has kept it.
    call: Option<Call>,
}

/// Whether all connect handlers have succeeded, so that the disconnect handlers have to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectOutcome {
    Admitted,
    Refused,
}

impl Session {
    pub(crate) fn tcp(stream: TcpStream, accepted: Accepted<'_>, config: SessionConfig) -> Self {
        let (io, writer) = Io::tcp(stream);
        Self::new(io, Some(writer), accepted, config)
    }

    pub(crate) fn stream(
        stream: Box<dyn Stream>,
        accepted: Accepted<'_>,
        config: SessionConfig,
    ) -> Self {
        Self::new(Io::stream(stream), None, accepted, config)
    }

    fn new(
        io: Io,
        writer: Option<TcpWriter>,
        accepted: Accepted<'_>,
        config: SessionConfig,
    ) -> Self {
        let Accepted { peer, greeting, leftover } = accepted;
        let (socket, room) = match peer {
            AcceptedPeer::Peer(peer) => (config.socket(peer), None),
            AcceptedPeer::Member { member, room } => (member.accept(), Some(room)),
        };
        socket.outbox().open(greeting, writer);
        let registration = config.router.namespace.register(&socket);
        let SessionConfig { router, limits, unfinished } = config;
        let protocol = Protocol::new(&limits, leftover);
        let unfinished = Unfinished::new(unfinished);
        let io = ConnectionIo::new(io, protocol, socket.clone(), limits, unfinished);
        Self { registration, io, socket, router, room, call: None }
    }

    /// The connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.socket.id()
    }

    /// Runs the connection to its end; the disconnect handlers have run when it returns.
    ///
    /// It borrows the session, because a future that owns one has room for it twice.
    pub(crate) async fn run(&mut self) {
        self.log_connected();
        let router = Arc::clone(&self.router);
        let outcome = self.serve(&router).await;
        let reason = self.io.reason();
        tracing::debug!(connection = %self.socket.id(), %reason, "disconnected");
        // The client is gone for all other tasks before its disconnect handlers run.
        self.socket.registry().depart(&self.socket, Standing::Over, EndedBy::Server);
        self.socket.outbox().seal(None);
        self.socket.end_tasks().await;
        let handlers = match outcome {
            ConnectOutcome::Admitted => &router.disconnect,
            ConnectOutcome::Refused => &router.refused,
        };
        if !handlers.is_empty() {
            // Boxed as well.
            Box::pin(self.disconnect(handlers, &reason)).await;
        }
        self.socket.registry().depart(&self.socket, Standing::Gone, EndedBy::Server);
        self.socket.close_values();
        unconstrained(poll_fn(|cx| self.io.poll_finish(cx))).await;
    }

    fn log_connected(&self) {
        let (connection, namespace) = (self.id(), self.socket.namespace());
        tracing::debug!(%connection, namespace, peer = ?self.socket.peer_addr(), "connected");
    }

    /// Runs the connect handlers, admits the connection and handles messages until the end.
    async fn serve(&mut self, router: &CompiledRouter) -> ConnectOutcome {
        // Boxed, so that a connection keeps no room for it afterwards.
        if Box::pin(self.enter(router)).await.is_break() {
            return ConnectOutcome::Refused;
        }
        self.messages(router).await;
        ConnectOutcome::Admitted
    }

    /// Handles messages until the connection ends.
    async fn messages(&mut self, router: &CompiledRouter) {
        while let Step::Message(inbound) = self.io.next().await {
            if self.handle(router, inbound).await.is_break() {
                return;
            }
        }
    }

    fn call_for(&self, endpoint: &CompiledHandler, stage: Stage) -> Call {
        Call::new(self.socket.clone(), Arc::clone(&endpoint.state), stage)
    }
}
