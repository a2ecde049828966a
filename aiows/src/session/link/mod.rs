//! The socket of one connection: reads ahead, writes what is queued, keeps the deadlines.

mod receive;
mod write;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::clock::{Clock, Due};
use crate::close::DisconnectReason;
use crate::codec::Encoded;
use crate::limits::Limits;
use crate::outbox::{CloseWish, Manner, Outbox};
use crate::transport::{Failure, Inbound, Opcode, Protocol, Socket};
use crate::websocket::WebSocket;

/// How long a slow consumer may read nothing before it is cut, once it was told that it is closed.
const SLOW_GRACE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    io: Socket,
    protocol: Protocol,
    socket: WebSocket,
    limits: Arc<Limits>,
    inbound: VecDeque<Inbound>,
    inbound_size: usize,
    clock: Clock,
    phase: Phase,
    /// How the peer ended its stream, until what came before is handled.
    last: Option<Last>,
    reason: Option<DisconnectReason>,
    /// The socket refused bytes when it was last written.
    blocked: bool,
    /// The peer owes an answer: more of its messages may wait.
    asking: bool,
    /// The peer has to read before more of its messages are handled.
    full: bool,
    /// Handlers are not waited for any longer.
    grace_over: bool,
    /// Messages handed out since other tasks last had their turn.
    handled: usize,
}

/// How far the end of the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our close frame is queued, the peer's is waited for.
    Closing,
    /// Our close frame is queued; what the peer still sends is discarded until it ends its side.
    Failing,
    /// Nothing more is expected of the peer; what is queued for it has to be written.
    Closed,
    /// Nothing can be read or written any more.
    Lost,
}

/// The last thing a peer's stream held.
#[derive(Debug)]
enum Last {
    /// A close frame, which the protocol holds back.
    Close,
    /// Nothing: the stream ended without one.
    End,
    Failure(Failure),
}

/// What the session does next.
#[derive(Debug)]
pub(super) enum Step {
    Message(Inbound),
    Over,
}

impl Link {
    pub(super) fn new(
        io: Socket,
        protocol: Protocol,
        socket: WebSocket,
        limits: Arc<Limits>,
    ) -> Self {
        Self {
            io,
            protocol,
            socket,
            clock: Clock::new(&limits),
            limits,
            inbound: VecDeque::new(),
            inbound_size: 0,
            phase: Phase::Open,
            last: None,
            reason: None,
            blocked: false,
            asking: false,
            full: false,
            grace_over: false,
            handled: 0,
        }
    }

    /// Why the connection ended.
    pub(super) fn reason(&self) -> DisconnectReason {
        self.reason.clone().unwrap_or_else(lost)
    }

    /// Waits for the next message or the end.
    pub(super) async fn next(&mut self) -> Step {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.handled >= self.limits.messages_per_turn {
            self.handled = 0;
            self.poll_flush(cx);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.has_message() {
            self.poll_io(cx, false);
        }
        if self.phase != Phase::Open {
            return Poll::Ready(Step::Over);
        }
        if !self.has_message() {
            self.handled = 0;
            return Poll::Pending;
        }
        let Some(message) = self.inbound.pop_front() else {
            return Poll::Pending;
        };
        self.handled += 1;
        self.inbound_size -= message.bytes().len();
        if message.is_large() && self.inbound.is_empty() {
            // What was allocated beside a large buffer and stays keeps the allocator from giving
            // that memory back.
            self.inbound = VecDeque::new();
        }
        Poll::Ready(Step::Message(message))
    }

    /// Keeps the connection alive while a handler is pending; `Ready` when it is to be dropped.
    pub(super) fn poll_busy(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.handled = 0;
        self.poll_io(cx, true);
        if self.grace_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until everything is written and the peer has answered, or for the deadline.
    pub(super) async fn finish(&mut self) {
        poll_fn(|cx| self.poll_finish(cx)).await;
        self.outbox().attend(true);
    }

    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.clock.set_end(self.limits.close_timeout);
        self.poll_io(cx, false);
        if self.phase == Phase::Lost { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sends a close frame and gives up what was not handled.
    pub(super) fn close(&mut self, wish: CloseWish) {
        if wish.because == DisconnectReason::SlowConsumer {
            tracing::warn!(connection = %self.socket.id(), "slow consumer");
            self.outbox().discard_unsent();
            self.clock.allow_stuck(SLOW_GRACE);
        }
        self.protocol.close(wish.code, &wish.reason, &mut self.socket.outbox().control());
        self.set_phase(Phase::Closing, wish.because);
    }

    /// Queues an answer to the peer.
    pub(super) fn answer(&mut self, answer: Encoded) {
        self.full = self.outbox().push_answer(Opcode::Text, answer);
    }

    fn outbox(&self) -> &Outbox {
        self.socket.outbox()
    }

    fn set_phase(&mut self, phase: Phase, reason: DisconnectReason) {
        self.phase = phase;
        self.reason.get_or_insert(reason);
        self.forget_inbound();
        self.clock.set_end(self.limits.close_timeout);
    }

    fn forget_inbound(&mut self) {
        self.inbound.clear();
        self.inbound_size = 0;
    }

    fn lose(&mut self) {
        self.phase = Phase::Lost;
        self.last = None;
        self.clock.set_end(self.limits.close_timeout);
        self.reason.get_or_insert_with(lost);
        self.outbox().end();
        self.blocked = false;
    }

    /// Whether a message can be handed to its handler now.
    fn has_message(&self) -> bool {
        self.phase == Phase::Open
            && !self.inbound.is_empty()
            && !self.full
            && !self.outbox().awaits_close()
    }

    /// Does everything there is to do without waiting, and arranges to be woken for the rest.
    fn poll_io(&mut self, cx: &mut Context<'_>, busy: bool) {
        loop {
            self.obey_wish(busy);
            let read = self.poll_receive(cx, busy);
            if !busy && self.has_message() {
                return;
            }
            self.poll_flush(cx);
            self.poll_end(cx);
            if !busy && self.inbound.is_empty() && self.last.is_some() {
                self.conclude();
                continue;
            }
            if let Some(due) = self.clock.poll(cx, self.is_listening(busy)) {
                self.act_on(due);
                continue;
            }
            // Asked meanwhile: there may be room for more.
            let more = read || (!self.asking && self.socket.is_asking());
            let full = !busy && self.has_message();
            if !more && !full && self.outbox().sleep(cx, self.blocked, self.is_idle(busy)) {
                return;
            }
        }
    }

    /// Whether nothing that was received waits to be handled.
    fn is_idle(&self, busy: bool) -> bool {
        !busy && self.inbound.is_empty() && !self.protocol.has_unfinished()
    }

    fn obey_wish(&mut self, busy: bool) {
        let Some(wish) = self.outbox().attend(self.is_idle(busy)) else {
            return;
        };
        if wish.manner == Manner::Cut {
            self.reason.get_or_insert(wish.because);
            self.grace_over = true;
            self.lose();
        } else if self.phase == Phase::Open {
            self.close(wish);
        }
    }

    fn act_on(&mut self, due: Due) {
        match due {
            Due::Wait => {}
            Due::Shrink => self.protocol.shrink(),
            Due::Ping => self.outbox().ping(),
            Due::Silent => {
                tracing::debug!(connection = %self.socket.id(), "no answer to a ping");
                self.grace_over = true;
                self.reason.get_or_insert(DisconnectReason::Timeout);
                self.lose();
            }
            Due::Stuck if self.phase == Phase::Open => {
                self.close(CloseWish::slow_consumer());
            }
            // What the peer ended with is still answered, without the handler it did not wait for.
            Due::End if self.last.is_some() => {
                self.grace_over = true;
                self.conclude();
            }
            Due::Stuck | Due::End => {
                self.grace_over = true;
                self.lose();
            }
        }
    }
}

fn lost() -> DisconnectReason {
    DisconnectReason::Peer { code: None, reason: String::new() }
}
