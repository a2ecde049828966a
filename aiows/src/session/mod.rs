//! The life of one connection: all per-connection concurrency lives here.

mod clock;
mod dispatch;
mod drive;
mod link;

#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{Instant, timeout_at};

use self::drive::{drive, start};
use self::link::{Link, Step};
use crate::call::{Call, Stage};
use crate::close::{CloseCode, DisconnectReason};
use crate::error::HandlerError;
use crate::hub::{Candidate, Hub};
use crate::id::error_id;
use crate::limits::Limits;
use crate::outbox::{CloseWish, Outbox};
use crate::router::{Endpoint, Frozen};
use crate::transport::{Protocol, Socket, Stream};
use crate::websocket::{Peer, WebSocket};

/// What a session needs besides its socket.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) router: Arc<Frozen>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) hub: Hub,
}

impl Setting {
    /// Makes the handle on a connection, which has nothing to write to yet.
    pub(crate) fn socket(&self, peer: Peer) -> WebSocket {
        let outbox = Outbox::new(&self.limits, self.hub.totals());
        WebSocket::new(outbox, peer, self.router.tag.clone(), self.hub.registry())
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
    link: Link,
    socket: WebSocket,
    router: Arc<Frozen>,
    limits: Arc<Limits>,
    hub: Hub,
    /// Joined before the connect handlers run.
    room: Option<Box<str>>,
    /// Used again for the next message when no handler has kept it.
    call: Option<Call>,
}

impl Session {
    pub(crate) fn tcp(stream: TcpStream, accepted: Accepted<'_>, setting: Setting) -> Self {
        let (reader, writer) = stream.into_split();
        Self::new(Socket::Tcp(reader), Some(writer), accepted, setting)
    }

    pub(crate) fn stream(
        stream: Box<dyn Stream>,
        accepted: Accepted<'_>,
        setting: Setting,
    ) -> Self {
        Self::new(Socket::Stream(stream), None, accepted, setting)
    }

    fn new(
        io: Socket,
        writer: Option<OwnedWriteHalf>,
        accepted: Accepted<'_>,
        setting: Setting,
    ) -> Self {
        let Accepted { newcomer, greeting, leftover } = accepted;
        let (socket, room) = match newcomer {
            Newcomer::Peer(peer) => (setting.socket(peer), None),
            Newcomer::Candidate { candidate, room } => (candidate.accept(), Some(room)),
        };
        socket.outbox().open(greeting, writer);
        let Setting { router, limits, hub } = setting;
        let protocol = Protocol::new(&limits, leftover);
        let link = Link::new(io, protocol, socket.clone(), Arc::clone(&limits));
        Self { link, socket, router, limits, hub, room, call: None }
    }

    /// Runs the connection to its end; the disconnect handlers have run when it returns.
    ///
    /// It borrows the session, because a future that owns one has room for it twice.
    pub(crate) async fn run(&mut self) {
        let mut registration = self.hub.register(&self.socket);
        tracing::debug!(connection = %self.socket.id(), peer = ?self.socket.peer_addr(), "connected");
        let router = Arc::clone(&self.router);
        if self.connect(&router).await {
            self.messages(&router).await;
        }
        let reason = self.link.reason();
        tracing::debug!(connection = %self.socket.id(), %reason, "disconnected");
        // The peer is gone for everybody else before its disconnect handlers run.
        registration.retire();
        self.socket.outbox().refuse();
        self.socket.end_tasks().await;
        self.disconnect(&router, &reason).await;
        self.link.finish().await;
    }

    /// Runs the connect handlers; `false` when one failed or the peer has left.
    async fn connect(&mut self, router: &Frozen) -> bool {
        if let Some(room) = self.room.take()
            && let Err(error) = self.hub.add(&self.socket, &room)
        {
            // It was allowed; others came first.
            let error = error.close(CloseCode::TRY_AGAIN_LATER);
            self.fail_connect(&error, "the room of the path");
            return false;
        }
        for endpoint in &router.connect {
            let call = self.call_for(endpoint, Stage::Connect);
            match drive(&mut self.link, start(endpoint, &call)).await {
                None => return false,
                Some(Ok(outcome)) => {
                    outcome.into_answer().into_iter().for_each(|answer| self.link.answer(answer))
                }
                Some(Err(error)) => {
                    endpoint.log(&error, &self.socket);
                    if let Some(error) = self.review(&endpoint.errors, &call, error).await {
                        self.fail_connect(&error, &endpoint.title);
                    }
                    return false;
                }
            }
        }
        true
    }

    fn fail_connect(&mut self, error: &HandlerError, title: &str) {
        // What is internal stays so: the peer is told the id alone.
        let id = error.error_id().map_or_else(error_id, str::to_owned);
        if error.source().is_none() {
            self.push_error(error, None, None);
            tracing::warn!(error_id = %id, handler = title, %error, "connect refused");
        }
        let (code, reason) = match error.close_code() {
            Some(code) => (code, error.message().to_owned()),
            None => (CloseCode::INTERNAL, format!("Internal error {id}")),
        };
        let wish = CloseWish::application(code, &reason);
        self.link.close(CloseWish { because: DisconnectReason::ConnectFailed, ..wish });
    }

    /// Handles messages until the connection ends.
    async fn messages(&mut self, router: &Frozen) {
        while let Step::Message(inbound) = self.link.next().await {
            if !self.handle(router, inbound).await {
                return;
            }
        }
    }

    /// Runs every disconnect handler, all within one deadline.
    async fn disconnect(&mut self, router: &Frozen, reason: &DisconnectReason) {
        let deadline = Instant::now() + self.limits.disconnect_timeout;
        for endpoint in &router.disconnect {
            let call = self.call_for(endpoint, Stage::Disconnect(reason.clone()));
            let handler = drive::beside(&mut self.link, start(endpoint, &call));
            match timeout_at(deadline, handler).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    endpoint.log(&error, &self.socket);
                    if !endpoint.errors.is_empty() {
                        let review = endpoint.errors.review(0, call, error);
                        let _ = timeout_at(deadline, drive::beside(&mut self.link, review)).await;
                    }
                }
                Err(_) => {
                    tracing::error!(handler = %endpoint.title, "disconnect handler timed out");
                    return;
                }
            }
        }
    }

    fn call_for(&self, endpoint: &Endpoint, stage: Stage) -> Call {
        Call::new(self.socket.clone(), Arc::clone(&endpoint.state), stage)
    }
}
