//! One connection, from its accepted handshake to its disconnect handlers.
//!
//! A [`Session`] is a single task. It runs the handlers of its connection one after another. While
//! a handler is pending, the same task reads ahead, writes the queue and keeps the deadlines.

mod accepted; // the values that a session begins with
mod clock; // all deadlines of the connection, with a single timer
mod disconnect; // time limits of the disconnect handlers
mod dispatch; // finding and running the handler of a message
mod drive; // polling a handler and the connection together
mod io; // reading, writing and closing the socket
mod respond; // the answer, the acknowledgement or the error for a message
mod unfinished; // the memory for unfinished messages of all clients
mod waiting; // how long a pending handler keeps the connection waiting

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::task::coop::unconstrained;

pub(crate) use self::accepted::{Accepted, AcceptedPeer, SessionConfig};
use self::disconnect::{CutDeadline, run_disconnect_group, run_while_closing};
use self::drive::drive_connect;
use self::io::ConnectionIo;
use self::respond::code_and_reason;
use self::unfinished::Unfinished;
pub(crate) use self::unfinished::UnfinishedTotal;
use crate::close::DisconnectReason;
use crate::error::{Closing, HandlerError, closing};
use crate::extract::{Call, DisconnectTime, Stage};
use crate::handler::{self, Returned, Running};
use crate::hub::Registration;
use crate::id::ConnectionId;
use crate::limits::deadline_after;
use crate::outbox::CloseRequest;
use crate::protocol::Protocol;
use crate::router::{CompiledHandler, CompiledRouter};
use crate::transport::Transport;
use crate::websocket::{EndedBy, Standing, WebSocket};

/// One connection, from its accepted handshake to its end.
///
/// This file has the stages of a connection: connect handlers, messages, disconnect handlers.
/// `dispatch.rs` handles a message, and `respond.rs` sends the answer to it.
pub(crate) struct Session {
    /// Dropped first, so that the connection has left its rooms and its user when its socket
    /// closes.
    registration: Registration,
    io: ConnectionIo,
    socket: WebSocket,
    router: Arc<CompiledRouter>,
    /// The room in the path, until the connection joins it.
    room: Option<Box<str>>,
    /// Reused for the next message, if no handler has kept a clone.
    call: Option<Call>,
}

/// Whether all connect handlers have succeeded, so that the disconnect handlers have to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectOutcome {
    Admitted,
    Refused,
}

impl Session {
    pub(crate) fn new(
        stream: impl Transport,
        accepted: Accepted<'_>,
        config: SessionConfig,
    ) -> Self {
        let (io, writer) = stream.split();
        let Accepted { peer, answer, leftover } = accepted;
        let (socket, room) = match peer {
            AcceptedPeer::Peer(peer) => (config.socket(peer), None),
            AcceptedPeer::Member { member, room } => (member.accept(), Some(room)),
        };
        socket.outbox().open(answer.map(|answer| answer.to_bytes()), writer);
        let registration = config.router.namespace.register(&socket);
        let SessionConfig { router, unfinished } = config;
        let limits = Arc::clone(&router.limits);
        let protocol = Protocol::new(&limits, leftover);
        let unfinished = Unfinished::new(unfinished);
        let io = ConnectionIo::new(io, protocol, socket.clone(), limits, unfinished);
        Self { registration, io, socket, router, room, call: None }
    }

    /// Returns the connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.socket.id()
    }

    /// Runs the connection to its end. The disconnect handlers have run when it returns.
    ///
    /// It borrows the session, because a future that owned the session would be larger by a second
    /// copy of it.
    pub(crate) async fn run(&mut self) {
        self.log_connected();
        let router = Arc::clone(&self.router);
        let outcome = self.serve(&router).await;
        let reason = self.io.reason();
        tracing::debug!(connection = %self.socket.id(), %reason, "disconnected");
        // For all other tasks, the client has left before its disconnect handlers run.
        self.socket.registry().depart(&self.socket, Standing::Disconnecting, EndedBy::Server);
        self.socket.outbox().seal(None);
        self.socket.end_tasks().await;
        let handlers = match outcome {
            ConnectOutcome::Admitted => &router.disconnect,
            ConnectOutcome::Refused => &router.refused,
        };
        if !handlers.is_empty() {
            // Boxed, too, so that a connection without disconnect handlers keeps no room for their
            // future.
            Box::pin(self.disconnect(handlers, &reason)).await;
        }
        self.socket.registry().depart(&self.socket, Standing::Disconnected, EndedBy::Server);
        self.socket.close_values();
        unconstrained(poll_fn(|cx| self.io.poll_finish(cx))).await;
    }

    fn log_connected(&self) {
        let (connection, namespace) = (self.id(), self.socket.namespace());
        tracing::debug!(%connection, namespace, peer = ?self.socket.peer_addr(), "connected");
    }

    /// Runs the connect handlers, admits the connection and handles messages until the end.
    async fn serve(&mut self, router: &CompiledRouter) -> ConnectOutcome {
        // Boxed, so that the connection keeps no room for this future afterwards.
        if Box::pin(self.connect_and_admit(router)).await.is_break() {
            return ConnectOutcome::Refused;
        }
        self.messages(router).await;
        ConnectOutcome::Admitted
    }

    /// Handles messages until the connection ends.
    async fn messages(&mut self, router: &CompiledRouter) {
        while let Some(inbound) = poll_fn(|cx| self.io.poll_next(cx)).await {
            if self.handle(router, inbound).await.is_break() {
                return;
            }
        }
    }

    /// Runs the connect handlers and admits the connection; `Break` if that failed.
    async fn connect_and_admit(&mut self, router: &CompiledRouter) -> ControlFlow<()> {
        self.connect(router).await?;
        let Err(error) = self.registration.admit(self.room.take().as_deref()) else {
            return ControlFlow::Continue(());
        };
        // Other connections came first, and the room in the path is full.
        let error = error.close(closing::ROOM_FULL.code);
        self.fail_connect(&error, "the room of the path").await;
        ControlFlow::Break(())
    }

    /// Runs the connect handlers; `Break` if one failed or closed the connection, or the client has
    /// left.
    async fn connect(&mut self, router: &CompiledRouter) -> ControlFlow<()> {
        let deadline = deadline_after(self.io.limits.connect_timeout);
        for handler in &router.connect {
            if self.socket.is_closed() {
                // The check of its room closed the connection, or another task did so in the
                // meantime.
                self.end_unadmitted().await;
                return ControlFlow::Break(());
            }
            let call = self.call_for(handler, Stage::Connect);
            let run = handler::run(&handler.run, call.clone());
            let Ok(returned) = drive_connect(&mut self.io, run, deadline, handler).await else {
                self.close_for_connect_timeout();
                return ControlFlow::Break(());
            };
            self.send_connect_answer(handler, &call, returned?).await?;
        }
        ControlFlow::Continue(())
    }

    /// Sends the value that a connect handler has returned; `Break` if no other handler may run.
    async fn send_connect_answer(
        &mut self,
        handler: &CompiledHandler,
        call: &Call,
        returned: Returned,
    ) -> ControlFlow<()> {
        if let Err(error) = &returned {
            handler.log(error, &self.socket);
        }
        if self.socket.is_closed() {
            // The session still has to carry out the request to close, or to notice a reset behind
            // messages.
            self.end_unadmitted().await;
            return ControlFlow::Break(());
        }
        match returned {
            Ok(outcome) => {
                outcome.into_answer().into_iter().for_each(|answer| self.io.send(answer));
                ControlFlow::Continue(())
            }
            Err(error) => {
                let error = self.review(&handler.errors, &handler.title, call, error).await?;
                self.fail_connect(&error, &handler.title).await;
                ControlFlow::Break(())
            }
        }
    }

    /// Closes the connection because the connect handlers take too long.
    fn close_for_connect_timeout(&mut self) {
        let Closing { code, reason } = closing::CONNECT_TIMEOUT;
        self.io.close(CloseRequest::handshake(code, reason, DisconnectReason::ConnectFailed));
    }

    /// Closes the connection with the error's own close code, or with the one that
    /// [`code_and_reason`] chooses. If the connection is ending for another reason, it waits for
    /// that end instead.
    async fn fail_connect(&mut self, error: &HandlerError, handler: &str) {
        if error.is_visible() && !self.router.only_relays() {
            self.send_error(error, None, None);
        }
        if self.is_ended_by(error) {
            return self.end_unadmitted().await;
        }
        if error.is_visible() {
            let connection = self.socket.id();
            tracing::warn!(%connection, handler, %error, "connect refused");
        }
        let (code, reason) = code_and_reason(error);
        self.io.close(CloseRequest::handshake(code, reason, DisconnectReason::ConnectFailed));
    }

    /// Waits until the connection has ended. Messages from the client are not handled.
    async fn end_unadmitted(&mut self) {
        while poll_fn(|cx| self.io.poll_next(cx)).await.is_some() {}
    }

    /// Runs every disconnect handler, even if others fail.
    async fn disconnect(&mut self, handlers: &[CompiledHandler], reason: &DisconnectReason) {
        let mut cut = CutDeadline::default();
        for handler in handlers {
            let running = Running::begin(self.socket.id(), &handler.title);
            let returned = self.run_disconnect(handler, reason, &mut cut).await;
            if returned.is_some() || handler.is_group {
                running.finish();
            }
        }
    }

    /// Runs one disconnect handler; `None` if it was dropped.
    async fn run_disconnect(
        &mut self,
        handler: &CompiledHandler,
        reason: &DisconnectReason,
        cut: &mut CutDeadline,
    ) -> Option<()> {
        let limit = self.io.limits.disconnect_timeout;
        let time = DisconnectTime::new(limit);
        let call = self.call_for(handler, Stage::Disconnect(reason.clone(), Arc::clone(&time)));
        let run = handler::run(&handler.run, call.clone());
        let returned = match handler.is_group {
            true => run_disconnect_group(&mut self.io, run, &time, cut).await,
            false => run_while_closing(&mut self.io, run, limit, cut).await,
        };
        let Err(error) = returned? else { return Some(()) };
        handler.log(&error, &self.socket);
        if !handler.errors.is_empty() {
            let review = handler.errors.review(0, call, error);
            let _ = run_while_closing(&mut self.io, review, limit, cut).await?;
        }
        Some(())
    }

    fn call_for(&self, handler: &CompiledHandler, stage: Stage) -> Call {
        Call::new(self.socket.clone(), Arc::clone(&handler.state), stage)
    }
}
