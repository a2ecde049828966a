//! The life of one connection: all per-connection concurrency lives here.

mod accepted;
mod clock;
mod dispatch;
mod drive;
mod io;
mod leave;
mod respond;
mod unfinished;
mod waiting;

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

pub(crate) use self::accepted::{Accepted, AcceptedPeer, SessionConfig};
use self::drive::{drive_connect, start_handler};
use self::io::{ConnectionIo, Step};
use self::leave::{Cut, beside, beside_group};
use self::respond::farewell;
use self::unfinished::Unfinished;
pub(crate) use self::unfinished::UnfinishedTotal;
use crate::close::DisconnectReason;
use crate::error::{Closing, HandlerError, closing};
use crate::extract::{Call, DisconnectTime, Stage};
use crate::handler::{Returned, Running};
use crate::hub::Registration;
use crate::id::ConnectionId;
use crate::limits::deadline_after;
use crate::outbox::CloseRequest;
use crate::protocol::Protocol;
use crate::router::{CompiledHandler, CompiledRouter};
use crate::transport::{Io, Stream, TcpWriter};
use crate::websocket::{EndedBy, Standing, WebSocket};

/// One connection, from its acceptance to its end.
///
/// This file has its stages, `dispatch.rs` what is done with one message, `respond.rs` what is sent for it.
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
        let Accepted { peer, answer, leftover } = accepted;
        let (socket, room) = match peer {
            AcceptedPeer::Peer(peer) => (config.socket(peer), None),
            AcceptedPeer::Member { member, room } => (member.accept(), Some(room)),
        };
        socket.outbox().open(answer.map(|answer| answer.to_bytes()), writer);
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

    /// Runs the connect handlers and admits the connection; `Break` if that failed.
    async fn enter(&mut self, router: &CompiledRouter) -> ControlFlow<()> {
        self.connect(router).await?;
        let Err(error) = self.registration.admit(self.room.take().as_deref()) else {
            return ControlFlow::Continue(());
        };
        // Others came first, and the room of the path is full.
        let error = error.close(closing::ROOM_FULL.code);
        self.fail_connect(&error, "the room of the path").await;
        ControlFlow::Break(())
    }

    /// Runs the connect handlers; `Break` if one failed or closed, or the client did not wait.
    async fn connect(&mut self, router: &CompiledRouter) -> ControlFlow<()> {
        let deadline = deadline_after(self.io.limits.connect_timeout);
        for endpoint in &router.connect {
            if self.socket.is_closed() {
                // A check of its room closed it, or another task while that ran.
                self.end_unadmitted().await;
                return ControlFlow::Break(());
            }
            let call = self.call_for(endpoint, Stage::Connect);
            let run = start_handler(endpoint, &call);
            let Ok(returned) = drive_connect(&mut self.io, run, deadline, endpoint).await else {
                self.give_up_connect();
                return ControlFlow::Break(());
            };
            self.send_connect_answer(endpoint, &call, returned?).await?;
        }
        ControlFlow::Continue(())
    }

    /// Sends what a connect handler has returned; `Break` if it is the last one.
    async fn send_connect_answer(
        &mut self,
        endpoint: &CompiledHandler,
        call: &Call,
        returned: Returned,
    ) -> ControlFlow<()> {
        if let Err(error) = &returned {
            endpoint.log(error, &self.socket);
        }
        if self.socket.is_closed() {
            // The session has yet to follow the request, or to notice a reset behind messages.
            self.end_unadmitted().await;
            return ControlFlow::Break(());
        }
        match returned {
            Ok(outcome) => {
                outcome.into_answer().into_iter().for_each(|answer| self.io.answer(answer));
                ControlFlow::Continue(())
            }
            Err(error) => {
                let error = self.review(endpoint, call, error).await?;
                self.fail_connect(&error, &endpoint.title).await;
                ControlFlow::Break(())
            }
        }
    }

    /// Closes because the connect handlers take too long.
    fn give_up_connect(&mut self) {
        let Closing { code, reason } = closing::CONNECT_TIMEOUT;
        self.io.close(CloseRequest::handshake(code, reason, DisconnectReason::ConnectFailed));
    }

    /// Closes with the error's own close code, or with 1008 and the error's code as the reason. If the
    /// connection ends anyway, that is how it ends.
    async fn fail_connect(&mut self, error: &HandlerError, handler: &str) {
        if error.is_visible() && !self.router.only_relays() {
            self.push_error(error, None, None);
        }
        if self.is_ended_by(error) {
            return self.end_unadmitted().await;
        }
        if error.is_visible() {
            let connection = self.socket.id();
            tracing::warn!(%connection, handler, %error, "connect refused");
        }
        let (code, reason) = farewell(error);
        self.io.close(CloseRequest::handshake(code, reason, DisconnectReason::ConnectFailed));
    }

    /// Waits for the end that is under way. What the client has sent is not handled.
    async fn end_unadmitted(&mut self) {
        while let Step::Message(_) = self.io.next().await {}
    }

    /// Runs every disconnect handler, whatever the others do.
    async fn disconnect(&mut self, handlers: &[CompiledHandler], reason: &DisconnectReason) {
        let mut cut = Cut::default();
        for endpoint in handlers {
            let running = Running::begin(self.socket.id(), &endpoint.title);
            let returned = self.leave(endpoint, reason, &mut cut).await;
            if returned.is_some() || endpoint.is_group {
                running.finish();
            }
        }
    }

    /// Runs one disconnect handler; `None` if it was dropped.
    async fn leave(
        &mut self,
        endpoint: &CompiledHandler,
        reason: &DisconnectReason,
        cut: &mut Cut,
    ) -> Option<()> {
        let limit = self.io.limits.disconnect_timeout;
        let time = DisconnectTime::new(limit);
        let call = self.call_for(endpoint, Stage::Disconnect(reason.clone(), Arc::clone(&time)));
        let run = start_handler(endpoint, &call);
        let returned = match endpoint.is_group {
            true => beside_group(&mut self.io, run, &time, cut).await,
            false => beside(&mut self.io, run, limit, cut).await,
        };
        let Err(error) = returned? else { return Some(()) };
        endpoint.log(&error, &self.socket);
        if !endpoint.errors.is_empty() {
            let review = endpoint.errors.review(0, call, error);
            let _ = beside(&mut self.io, review, limit, cut).await?;
        }
        Some(())
    }

    fn call_for(&self, endpoint: &CompiledHandler, stage: Stage) -> Call {
        Call::new(self.socket.clone(), Arc::clone(&endpoint.state), stage)
    }
}
