//! The socket of one connection: reads ahead, writes what is queued, keeps the deadlines.
//!
//! `mod.rs` has the turn of a session, `read.rs` what comes in, `write.rs` what goes out, `timer.rs` what is
//! due, `end.rs` the transitions between the phases of `phase.rs`.

mod end;
mod inbox;
mod phase;
mod read;
mod saved;
mod timer;
mod write;

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

/// Reads of the socket in one turn; then other connections get theirs.
const READS_PER_TURN: usize = 16;

pub(super) struct ConnectionIo {
    io: Io,
    protocol: Protocol,
    socket: WebSocket,
    pub(super) limits: Arc<Limits>,
    inbox: Inbox,
    clock: Clock,
    phase: Phase,
    /// Set when the session stops handling messages.
    reason: Option<DisconnectReason>,
    writability: Writability,
    answers: Answers,
    unfinished: Unfinished,
    /// Whether a stop has cut the connection.
    is_cut: bool,
    /// Messages handed out since other tasks last had their turn.
    handled: usize,
}

/// Whether there is room for the answer to another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Fit,
    /// The client has to read first.
    Wait,
}

/// Whether the session waits for a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    None,
    Pending,
}

/// What the session does next.
#[derive(Debug)]
pub(super) enum Step {
    Message(Inbound),
    Over,
}

/// What is left of one turn of the session.
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

    /// Waits for the next message or the end.
    pub(super) async fn next(&mut self) -> Step {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let is_paused = self.protocol.is_paused() && self.handled > 0 && !self.has_message();
        if self.handled >= self.limits.messages_per_turn || is_paused {
            return poll_unconstrained(cx, |cx| self.poll_pause(cx));
        }
        if !self.has_message() {
            // Without a handler there is none to drop.
            let _ = poll_unconstrained(cx, |cx| Poll::Ready(self.poll_turn(cx, Handler::None)));
        }
        self.give_up_if_sent_away();
        if !self.phase.handles_messages() {
            return Poll::Ready(Step::Over);
        }
        let message = if self.has_message() { self.inbox.pop() } else { None };
        let Some(message) = message else {
            self.handled = 0;
            if self.outbox().awaits_close() {
                // The request may have come after the turn, when nothing was registered to be woken.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        };
        self.handled += 1;
        self.renew_handler_deadline();
        Poll::Ready(Step::Message(message))
    }

    /// Gives other connections their turn. A client that never stops sending must not keep the session
    /// from what is due.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.handled = 0;
        self.poll_flush(cx);
        if let Some(event) = self.poll_clock(cx, Handler::None) {
            // Without a handler there is none to drop.
            let _ = self.act_on(event);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Keeps the connection alive while a handler is pending; `Ready` if it has to be dropped.
    pub(super) fn poll_beside_handler(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.handled = 0;
        self.clock.waiting().note_pending();
        match self.poll_turn(cx, Handler::Pending) {
            ControlFlow::Break(()) => Poll::Ready(()),
            ControlFlow::Continue(()) => Poll::Pending,
        }
    }

    /// How long the handler has been pending.
    pub(super) fn handler_time(&self) -> Duration {
        self.clock.handler_time()
    }

    /// Whether the log has to name the pending handler now.
    pub(super) fn take_slow(&mut self) -> bool {
        self.clock.waiting().take_slow()
    }

    /// Notes that the handler has returned: the messages behind it move on.
    pub(super) fn note_handler_returned(&mut self) {
        self.clock.note_progress();
    }

    /// `Ready` when everything is written and the client has answered, or at the deadline.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Without a handler a `Break` has only moved the connection on: nothing would wake this task.
        while self.poll_turn(cx, Handler::None).is_break() && !self.phase.has_ended() {}
        if self.phase.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Queues an answer to the client.
    pub(super) fn answer(&mut self, answer: Encoded) {
        let is_full = self.outbox().push_answer(answer);
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

    /// Whether a message can be handed to its handler now.
    fn has_message(&self) -> bool {
        !self.inbox.is_empty()
            && self.phase.handles_messages()
            && self.answers == Answers::Fit
            && !self.outbox().awaits_close()
    }

    /// Does everything there is to do without waiting, and arranges to be woken for the rest.
    ///
    /// `Break` means that a pending handler has to be dropped.
    fn poll_turn(&mut self, cx: &mut Context<'_>, handler: Handler) -> ControlFlow<()> {
        let mut turn = Turn { reads: READS_PER_TURN };
        loop {
            let intake = self.follow_close_order(handler)?;
            let more = self.poll_receive(cx, intake, &mut turn);
            if handler == Handler::None && self.has_message() {
                return ControlFlow::Continue(());
            }
            self.poll_flush(cx);
            self.poll_end(cx);
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
        // A question that was sent meanwhile makes room for more messages.
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

/// Polls outside of tokio's cooperative budget, for work that is bounded all the same.
///
/// The handlers of the same task may have used the budget up. Streams and timers return pending
/// then, which would make the client look slow or silent.
pub(super) fn poll_unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}
