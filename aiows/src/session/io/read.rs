//! Reading ahead, decoding, and noticing that the client leaves.

use std::cell::RefCell;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::phase::ClientEnd;
use super::{ConnectionIo, Phase, Turn};
use crate::protocol::{DecodeLimit, Inbound, ProtocolEnd};
use crate::session::clock::Reading;
use crate::transport::{Hangup, HangupInterest};

/// The most bytes of one read. One buffer serves all connections of a thread.
const SCRATCH: usize = 64 * 1024;

/// Bytes that are read even though no further message is accepted, so that pings are answered and a
/// client that leaves is noticed. `Limits::inbound_messages` documents it.
const READ_AHEAD: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The messages that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    Messages,
    /// The server shuts down: only answers to the requests of pending handlers are accepted.
    AnswersOnly,
}

impl ConnectionIo {
    /// Returns whether the client is read from, and if not, whether its departure is noticed.
    pub(super) fn reading(&self) -> Reading {
        match &self.phase {
            Phase::Open | Phase::Leaving { end: None, .. } if self.reads_ahead() => Reading::On,
            Phase::Open | Phase::Leaving { end: None, .. } if self.io.reports_hangup() => {
                Reading::Watched
            }
            Phase::Open | Phase::Leaving { end: None, .. } => Reading::Blind,
            Phase::Leaving { .. }
            | Phase::Closing { .. }
            | Phase::Failing { .. }
            | Phase::Flushing { .. }
            | Phase::Ended { .. } => Reading::Over,
        }
    }

    fn reads_ahead(&self) -> bool {
        self.protocol.backlog() < READ_AHEAD
    }

    /// Decodes the bytes already read, and reads once; `true` if there may be more.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        intake: Intake,
        turn: &mut Turn,
    ) -> bool {
        match self.phase {
            Phase::Open | Phase::Leaving { .. } => {
                self.inbox.note_requests(self.socket.awaits_answer(), &self.limits);
                if self.can_decode(intake) {
                    self.decode(&[], intake);
                }
                let more = if self.protocol.is_paused() {
                    true
                } else if self.phase.takes_messages() && self.reads_ahead() {
                    self.poll_read(cx, intake, turn)
                } else {
                    self.poll_hangup(cx)
                };
                if self.inbox.has_requests() && self.inbox.room(&self.limits).is_none() {
                    self.socket.fail_requests();
                }
                more
            }
            // A close frame may come behind control frames that were read earlier.
            Phase::Closing { .. } if self.protocol.is_paused() => {
                let end = self.protocol.skip(&[]);
                end.into_iter().for_each(|end| self.client_ended(end.into()));
                true
            }
            Phase::Closing { .. } | Phase::Failing { .. } => self.poll_read(cx, intake, turn),
            Phase::Flushing { .. } | Phase::Ended { .. } => false,
        }
    }

    /// Whether bytes that were read earlier can be decoded now.
    fn can_decode(&self, intake: Intake) -> bool {
        let has_room = || intake == Intake::AnswersOnly || self.inbox.room(&self.limits).is_some();
        self.protocol.is_paused() || (self.protocol.has_undecoded() && has_room())
    }

    /// Checks whether the client has left while no bytes are read from it.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> bool {
        let awaited = match &self.phase {
            Phase::Open => HangupInterest::Any,
            Phase::Leaving { end: Some(end), .. } if matches!(**end, ClientEnd::Reset) => {
                return false;
            }
            _ => HangupInterest::Reset,
        };
        match self.io.poll_hangup(cx, awaited) {
            Poll::Pending => return false,
            Poll::Ready(Hangup::Finished) => self.note_finished(),
            Poll::Ready(Hangup::Reset) => self.client_ended(ClientEnd::Reset),
        }
        true
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, intake: Intake, turn: &mut Turn) -> bool {
        if turn.reads == 0 {
            return true;
        }
        turn.reads -= 1;
        BUFFER.with_borrow_mut(|scratch| {
            if scratch.is_empty() {
                scratch.resize(SCRATCH, 0);
            }
            let room = READ_AHEAD.saturating_sub(self.protocol.backlog()).clamp(1, SCRATCH);
            let mut buffer = ReadBuf::new(&mut scratch[..room]);
            match self.io.poll_read(cx, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.client_ended(ClientEnd::Finished);
                }
                Poll::Ready(Ok(())) => {
                    self.clock.note_read();
                    match self.phase {
                        Phase::Open | Phase::Leaving { .. } => self.decode(buffer.filled(), intake),
                        Phase::Closing { .. } => {
                            let end = self.protocol.skip(buffer.filled());
                            end.into_iter().for_each(|end| self.client_ended(end.into()));
                        }
                        Phase::Failing { .. } | Phase::Flushing { .. } | Phase::Ended { .. } => {}
                    }
                }
                Poll::Ready(Err(error)) => self.fail(&error),
            }
            true
        })
    }

    fn decode(&mut self, mut bytes: &[u8], intake: Intake) {
        loop {
            let room = match intake {
                Intake::Messages => self.inbox.room(&self.limits),
                Intake::AnswersOnly => Some(DecodeLimit::UNLIMITED),
            };
            let known = self.inbox.len();
            let outbox = self.socket.outbox();
            let mut on_ping = |payload: &[u8]| outbox.pong(payload);
            let end = self.protocol.receive(bytes, room, self.inbox.decoded(), &mut on_ping);
            if self.protocol.has_grown() && self.inbox.has_large(known) {
                self.keep_large_buffer();
            }
            // Checked after the bytes were read: a request that they answer was counted before.
            if self.socket.awaits_answer() || intake == Intake::AnswersOnly {
                self.take_answers(known, intake);
            }
            self.inbox.accept(known, &self.limits);
            match end {
                Some(end) => self.client_ended(end.into()),
                None if self.protocol.has_begun_close() => self.note_finished(),
                None => {}
            }
            self.note_unfinished();
            // While a request is pending, the messages are decoded in batches.
            if !self.inbox.has_requests() || !self.has_more(intake) {
                return;
            }
            bytes = &[];
        }
    }

    #[cold]
    fn has_more(&self, intake: Intake) -> bool {
        self.phase.handles_messages()
            && self.protocol.has_undecoded()
            && intake == Intake::Messages
            && self.inbox.room(&self.limits).is_some()
    }

    /// A single large message releases its buffer at once. A stream of large messages keeps it
    /// until the stream is over, unless there are too many such streams.
    fn keep_large_buffer(&mut self) {
        if !(self.clock.note_large() && self.protocol.keep_grown()) {
            self.protocol.shrink();
        }
    }

    /// Takes the answers out of the messages just decoded, so that they overtake the messages that
    /// wait.
    fn take_answers(&mut self, known: usize, intake: Intake) {
        for message in self.inbox.split_off(known) {
            let other: Option<Inbound> = self.socket.take_answer(message, &self.limits);
            if intake == Intake::Messages {
                self.inbox.decoded().extend(other);
            }
        }
    }

    /// Tracks the message in progress, which has a deadline and a share of the memory for all of
    /// them.
    fn note_unfinished(&mut self) {
        let under_way = self.protocol.message_under_way();
        self.clock.set_message_under_way(under_way.map(|(number, _)| number));
        let size = under_way.map_or(0, |(_, size)| size);
        if self.unfinished.set(size, self.limits.inbound_total).is_break() {
            self.close_for_unfinished();
        }
        match self.unfinished.is_counted() {
            true => self.clock.watch_share(),
            false => self.clock.forget_share(),
        }
    }
}

impl From<ProtocolEnd> for ClientEnd {
    fn from(end: ProtocolEnd) -> Self {
        match end {
            ProtocolEnd::Close(close) => Self::Close(close),
            ProtocolEnd::Failure(failure) => Self::Failure(failure),
        }
    }
}
