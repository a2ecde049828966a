//! The socket of one connection: reads ahead, writes what is queued, keeps the deadlines.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncWrite, ReadBuf};

use super::clock::{Clock, Due};
use crate::close::{CloseCode, DisconnectReason};
use crate::codec::Encoded;
use crate::limits::Limits;
use crate::outbox::{CloseWish, Manner, Outbox};
use crate::transport::{Failure, Inbound, Opcode, PeerClose, Protocol, Socket};
use crate::websocket::WebSocket;

/// How long a slow consumer may take to read that it is closed.
const SLOW_GRACE: Duration = Duration::from_secs(1);

/// What is read at once, in bytes; one buffer serves all connections of a thread.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

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
            self.clock.set_end(SLOW_GRACE);
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
            && !self.outbox().is_closed()
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
            let more = read;
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

    /// Whether further messages may wait.
    fn has_room(&self) -> bool {
        self.inbound.len() < self.limits.inbound_messages
            && self.inbound_size < self.limits.inbound_size
    }

    /// Whether the socket is read from.
    fn is_listening(&self, busy: bool) -> bool {
        match self.phase {
            Phase::Open => match self.last {
                None => self.has_room(),
                // The rest of a close frame may still be on its way.
                Some(Last::Close) => !busy && self.inbound.is_empty(),
                Some(Last::End | Last::Failure(_)) => false,
            },
            Phase::Closing | Phase::Failing => true,
            Phase::Closed | Phase::Lost => false,
        }
    }

    /// Decodes what is there and reads once; `true` if there may be more.
    fn poll_receive(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
        if self.protocol.has_unfinished() && self.phase != Phase::Failing {
            if self.has_room() {
                self.decode(&[]);
            }
            if self.protocol.has_unfinished() {
                return self.has_room();
            }
        }
        if !self.is_listening(busy) {
            return false;
        }
        BUFFER.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match self.io.poll_read(cx, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.ended(false),
                Poll::Ready(Ok(())) => {
                    self.clock.heard();
                    self.decode(buffer.filled());
                }
                Poll::Ready(Err(_)) => self.ended(true),
            }
            true
        })
    }

    fn decode(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Failing {
            return;
        }
        let room = self.limits.inbound_messages.saturating_sub(self.inbound.len()).max(1);
        let known = self.inbound.len();
        let mut control = self.socket.outbox().control();
        let received = self.protocol.receive(bytes, room, &mut self.inbound, &mut control);
        let size = |message: &Inbound| message.bytes().len();
        self.inbound_size += self.inbound.range(known..).map(size).sum::<usize>();
        match (received, self.phase) {
            (Ok(None), Phase::Open) if self.protocol.holds_close() => self.end_with(Last::Close),
            (Err(failure), Phase::Open) => self.end_with(Last::Failure(failure)),
            (Ok(None), Phase::Open) => {}
            // After our close frame messages are of no interest.
            (Ok(None), _) => self.forget_inbound(),
            (Ok(Some(_)), _) => self.phase = Phase::Closed,
            (Err(_), _) => self.phase = Phase::Failing,
        }
    }

    /// The peer has ended its side of the stream, or the stream broke.
    fn ended(&mut self, broken: bool) {
        if broken {
            self.outbox().end();
            self.blocked = false;
        }
        match self.phase {
            Phase::Open if self.last.is_none() => self.end_with(Last::End),
            Phase::Open => {}
            Phase::Closing => self.phase = Phase::Closed,
            Phase::Failing | Phase::Closed | Phase::Lost => self.lose(),
        }
    }

    fn end_with(&mut self, last: Last) {
        self.last = Some(last);
        self.clock.set_end(self.limits.close_timeout);
    }

    /// Ends the connection as the peer's stream ended, now that everything before is handled.
    fn conclude(&mut self) {
        let mut control = self.socket.outbox().control();
        match self.last.take() {
            None => {}
            Some(Last::End) => self.set_phase(Phase::Closed, lost()),
            Some(Last::Failure(failure)) => self.fail(&failure),
            Some(Last::Close) => match self.protocol.receive_close(&mut control) {
                // Only a part of it has come: `decode` finds it held back again.
                Ok(None) => {}
                Ok(Some(close)) => self.set_phase(Phase::Closed, peer_reason(close)),
                Err(failure) => self.fail(&failure),
            },
        }
    }

    fn fail(&mut self, failure: &Failure) {
        let Failure { code, reason } = *failure;
        self.protocol.close(code, reason, &mut self.socket.outbox().control());
        self.set_phase(Phase::Failing, DisconnectReason::Protocol { code });
    }

    fn act_on(&mut self, due: Due) {
        match due {
            Due::Wait => {}
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
            Due::Stuck | Due::End => {
                self.conclude();
                self.grace_over = true;
                self.lose();
            }
        }
    }

    /// Ends our side of the stream once the last frame is written.
    fn poll_end(&mut self, cx: &mut Context<'_>) {
        if self.blocked || !matches!(self.phase, Phase::Closed | Phase::Failing) {
            return;
        }
        // RFC 6455 section 7.1.1: the server ends the stream first. After a failure the peer may
        // still be sending: dropping the socket then would make the kernel discard our close frame.
        let ended = self.poll_shutdown(cx).is_ready();
        if ended && self.phase == Phase::Closed {
            self.lose();
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) {
        let flushed = self.write(cx);
        self.blocked = flushed.is_pending();
        self.full = self.full && self.outbox().is_full();
        match flushed {
            Poll::Pending => self.clock.blocked(self.socket.outbox().written()),
            Poll::Ready(Ok(())) => self.clock.unblocked(),
            Poll::Ready(Err(_)) => self.ended(true),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = match &mut self.io {
            Socket::Tcp(reader) => {
                let mut blocked = self.blocked;
                loop {
                    if blocked {
                        ready!(reader.as_ref().poll_write_ready(cx))?;
                    }
                    let flushed = self.socket.outbox().flush_tcp();
                    if flushed.is_ready() {
                        return flushed;
                    }
                    blocked = true;
                }
            }
            Socket::Stream(stream) => stream,
        };
        ready!(self.socket.outbox().flush_with(|_, slices| {
            match Pin::new(&mut *stream).poll_write_vectored(cx, slices) {
                Poll::Ready(written) => written,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        }))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Socket::Tcp(_) => {
                self.socket.outbox().end();
                Poll::Ready(Ok(()))
            }
            Socket::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

fn lost() -> DisconnectReason {
    DisconnectReason::Peer { code: None, reason: String::new() }
}

fn peer_reason(close: PeerClose) -> DisconnectReason {
    match close {
        PeerClose { illegal: true, .. } => DisconnectReason::Protocol { code: CloseCode::PROTOCOL },
        PeerClose { code, reason, illegal: false } => DisconnectReason::Peer { code, reason },
    }
}
