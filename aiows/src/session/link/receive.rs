//! What the peer sends: read ahead, decoded, and its end noticed.

use std::cell::RefCell;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{Last, Link, Phase, lost};
use crate::close::{CloseCode, DisconnectReason};
use crate::transport::{Failure, Inbound, PeerClose};

/// What is read at once, in bytes; one buffer serves all connections of a thread.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

impl Link {
    /// Whether further messages may wait; twice as many before an answer of the peer.
    fn has_room(&self) -> bool {
        self.inbound.len() < self.bound(self.limits.inbound_messages)
            && self.inbound_size < self.bound(self.limits.inbound_size)
    }

    fn bound(&self, limit: usize) -> usize {
        if self.asking { limit.saturating_mul(2) } else { limit }
    }

    /// Whether the socket is read from.
    pub(super) fn is_listening(&self, busy: bool) -> bool {
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
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
        self.asking = self.socket.is_asking();
        let more = self.receive(cx, busy);
        if self.asking && !self.has_room() {
            self.socket.fail_questions();
        }
        more
    }

    fn receive(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
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
        let room = self.bound(self.limits.inbound_messages);
        let room = room.saturating_sub(self.inbound.len()).max(1);
        let known = self.inbound.len();
        let mut control = self.socket.outbox().control();
        let received = self.protocol.receive(bytes, room, &mut self.inbound, &mut control);
        if self.protocol.has_grown() {
            // One large message gives its buffer back at once, a stream of them when it is over.
            if !self.clock.is_second_large() {
                self.protocol.shrink();
            }
            if self.protocol.has_grown() {
                self.clock.keep_large();
            }
        }
        // Looked at after the bytes were read: whoever is answered by them was counted before.
        if self.socket.is_asking() {
            self.take_answers(known);
        }
        let size = |message: &Inbound| message.bytes().len();
        self.inbound_size += self.inbound.range(known..).map(size).sum::<usize>();
        match (received, self.phase) {
            (Ok(None), Phase::Open) if self.protocol.holds_close() => self.end_with(Last::Close),
            (Err(failure), Phase::Open) => self.end_with(Last::Failure(failure)),
            (Ok(None), Phase::Open) => {}
            // After our close frame messages are of no interest.
            (Ok(None), phase) => {
                self.forget_inbound();
                if phase == Phase::Closing && self.protocol.holds_close() {
                    self.last = Some(Last::Close);
                }
            }
            (Ok(Some(_)), _) => self.phase = Phase::Closed,
            (Err(_), _) => self.phase = Phase::Failing,
        }
    }

    /// Takes the answers out of the messages that have come, past those that wait.
    fn take_answers(&mut self, known: usize) {
        let come = self.inbound.split_off(known);
        let others =
            come.into_iter().filter_map(|message| self.socket.take_answer(message, &self.limits));
        self.inbound.extend(others);
    }

    /// The peer has ended its side of the stream, or the stream broke.
    pub(super) fn ended(&mut self, broken: bool) {
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
        self.outbox().note_ending();
        self.clock.set_end(self.limits.close_timeout);
    }

    /// Ends the connection as the peer's stream ended, now that everything before is handled.
    pub(super) fn conclude(&mut self) {
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
}

fn peer_reason(close: PeerClose) -> DisconnectReason {
    match close {
        PeerClose { illegal: true, .. } => DisconnectReason::Protocol { code: CloseCode::PROTOCOL },
        PeerClose { code, reason, illegal: false } => DisconnectReason::Peer { code, reason },
    }
}
