//! The socket of one connection: reads ahead, writes the queue, keeps the deadlines.
//!
//! A turn does all work that is possible without waiting: it follows orders to close, reads, writes
//! and checks the deadlines. Then the session sleeps until it is woken.

mod end; // the transitions between the phases
mod inbox; // the accepted messages that wait for their handlers
mod packed; // messages that wait in a compact form
mod phase; // the phases from open to ended
mod read; // reading and decoding
mod timer; // the actions that are due
mod write; // writing the queue

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::unconstrained;

use self::inbox::Inbox;
use self::phase::Phase;
use super::clock::Clock;
use super::unfinished::Unfinished;
use crate::close::DisconnectReason;
use crate::codec::Encoded;
use crate::id::ConnectionId;
use crate::limits::Limits;
use crate::outbox::{AcceptedMessages, Outbox, Writability};
use crate::protocol::{Inbound, Protocol};
use crate::transport::Io;
use crate::websocket::WebSocket;

/// The most reads of the socket in one turn. After that, other connections get their turn.
const READS_PER_TURN: usize = 16;

/// The socket of one connection, with the state of reading, writing and closing it.
pub(super) struct ConnectionIo {
    io: Io,
    protocol: Protocol,
    socket: WebSocket,
    /// The limits of the connection's route.
    pub(super) limits: Arc<Limits>,
    inbox: Inbox,
    clock: Clock,
    phase: Phase,
    /// The reason for the end. Set when the session stops handling messages.
    reason: Option<DisconnectReason>,
    /// Whether the socket took all bytes when the queue was last written.
    writability: Writability,
    answers: Answers,
    /// This connection's part of the memory for unfinished messages.
    unfinished: Unfinished,
    /// Whether a shutdown has cut the connection.
    is_cut: bool,
    /// The number of messages returned since the session last yielded.
    handled: usize,
}

/// Whether the queue has room for the answer to another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// The answer to the next message fits.
    Fit,
    /// The client has to read first; until then no message is handled.
    Wait,
}

/// Whether a handler is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    None,
    Pending,
}

/// The budget that is left in one turn of the session.
struct Turn {
    reads: usize,
}

impl ConnectionIo {
    pub(super) fn new(
        io: Io,
        protocol: Protocol,
        socket: WebSocket,
        limits: Arc<Limits>,
        unfinished: Unfinished,
    ) -> Self {
        Self {
            io,
            protocol,
            socket,
            clock: Clock::new(&limits),
            limits,
            inbox: Inbox::default(),
            phase: Phase::Open,
            reason: None,
            writability: Writability::Ready,
            answers: Answers::Fit,
            unfinished,
            is_cut: false,
            handled: 0,
        }
    }

    /// Waits for the next message; `None` once the session has stopped handling messages.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let is_paused = self.protocol.is_paused() && self.handled > 0 && !self.has_message();
        if self.handled >= self.limits.messages_per_turn || is_paused {
            return poll_unconstrained(cx, |cx| self.poll_pause(cx));
        }
        if !self.has_message() {
            // No handler is pending, so there is none to drop.
            let _ = poll_unconstrained(cx, |cx| Poll::Ready(self.poll_turn(cx, Handler::None)));
        }
        self.end_if_reset_and_closed();
        if !self.phase.handles_messages() {
            return Poll::Ready(None);
        }
        let message = if self.has_message() { self.inbox.pop() } else { None };
        let Some(message) = message else {
            self.handled = 0;
            if self.outbox().awaits_close() {
                // The request may have come after the last check, when no waker was registered
                // because a message was there.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        };
        self.handled += 1;
        self.renew_handler_deadline();
        Poll::Ready(Some(message))
    }

    /// Yields to other connections. Writes and deadlines are served as well, because a client may
    /// never stop sending.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.handled = 0;
        self.poll_flush(cx);
        if let Some(event) = self.poll_clock(cx, Handler::None) {
            // No handler is pending, so there is none to drop.
            let _ = self.act_on(event);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Keeps the connection alive while a handler is pending. Returns `Ready` if the handler has to
    /// be dropped.
    pub(super) fn poll_during_handler(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.handled = 0;
        self.clock.waiting().note_pending();
        match self.poll_turn(cx, Handler::Pending) {
            ControlFlow::Break(()) => Poll::Ready(()),
            ControlFlow::Continue(()) => Poll::Pending,
        }
    }

    /// Returns how long the handler has been pending.
    pub(super) fn handler_time(&self) -> Duration {
        self.clock.handler_time()
    }

    /// Returns whether the log has to name the pending handler now.
    pub(super) fn take_slow_warning(&mut self) -> bool {
        self.clock.waiting().take_slow_warning()
    }

    /// Notes that the handler has returned, so that the messages behind it move on.
    pub(super) fn note_handler_returned(&mut self) {
        self.clock.note_progress();
    }

    /// Returns `Ready` once all frames are written and the client has closed its side, or at the
    /// deadline.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // If no handler is pending, a `Break` means that the phase has changed. Another turn is
        // needed then, because no waker was registered.
        while self.poll_turn(cx, Handler::None).is_break() && !self.phase.has_ended() {}
        if self.phase.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Queues an answer, an acknowledgement or an error.
    pub(super) fn send(&mut self, response: Encoded) {
        let is_full = self.outbox().push_answer(response);
        self.answers = if is_full { Answers::Wait } else { Answers::Fit };
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.socket.id()
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn outbox(&self) -> &Outbox {
        self.socket.outbox()
    }

    /// Whether the handler of the next message can run now.
    fn has_message(&self) -> bool {
        !self.inbox.is_empty()
            && self.phase.handles_messages()
            && self.answers == Answers::Fit
            && !self.outbox().awaits_close()
    }

    /// Does all work that is possible without waiting, and registers wakers for the rest.
    ///
    /// Returns `Break` if a pending handler has to be dropped.
    fn poll_turn(&mut self, cx: &mut Context<'_>, handler: Handler) -> ControlFlow<()> {
        let mut turn = Turn { reads: READS_PER_TURN };
        loop {
            let intake = self.follow_close_order(handler)?;
            let more = self.poll_receive(cx, intake, &mut turn);
            if handler == Handler::None && self.has_message() {
                return ControlFlow::Continue(());
            }
            self.poll_flush(cx);
            if handler == Handler::None && self.conclude_if_handled() {
                continue;
            }
            if let Some(event) = self.poll_clock(cx, handler) {
                self.act_on(event)?;
                continue;
            }
            if more && (turn.reads == 0 || self.protocol.is_paused()) {
                cx.waker().wake_by_ref();
                return ControlFlow::Continue(());
            }
            let has_message = handler == Handler::None && self.has_message();
            if !more && !has_message && self.sleep(cx, handler) {
                return ControlFlow::Continue(());
            }
        }
    }

    fn sleep(&mut self, cx: &Context<'_>, handler: Handler) -> bool {
        // If a request to the client was sent in the meantime, more messages can be read.
        if self.inbox.note_requests(self.socket.awaits_answer(), &self.limits) {
            return false;
        }
        self.outbox().sleep(cx, self.writability, self.accepted(handler))
    }

    fn accepted(&self, handler: Handler) -> AcceptedMessages {
        if handler == Handler::None && self.inbox.is_empty() {
            AcceptedMessages::Answered
        } else {
            AcceptedMessages::Pending
        }
    }
}

/// Polls outside tokio's cooperative budget, for work that is limited anyway.
///
/// The handlers on the same task may have used up the budget. Streams and timers would return
/// pending then, and the client would look slow or silent.
pub(super) fn poll_unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}
