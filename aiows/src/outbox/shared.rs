//! One message for many peers: encoded once, appended to each of their outboxes.

use bytes::Bytes;

use super::flush::Flush;
use super::push::Verdict;
use super::{CloseRequest, MAX_INLINE, Outbox};
use crate::codec::{Encoded, HEADROOM};
use crate::overflow::{Overflow, Rule};
use crate::transport::{Opcode, write_header};

/// A whole frame that any number of outboxes may hold.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrame {
    bytes: Bytes,
    /// Bytes of payload.
    size: usize,
    rule: Rule,
}

impl SharedFrame {
    pub(crate) fn new(opcode: Opcode, message: Encoded) -> Self {
        let rule = message.rule();
        let mut frame = message.into_buffer();
        let start = write_header(opcode, &mut frame);
        let size = frame.len() - HEADROOM;
        Self { bytes: frame.into_bytes().slice(start..), size, rule }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It was queued, or a policy has dropped it.
    Queued,
    /// It was queued, and whoever published it sees to it that `keep_promise` is called.
    Promised,
    /// There is no room, but there may be some in a moment.
    Busy,
    /// The connection is closed, or there is no room.
    Refused,
}

impl Outbox {
    /// Appends a frame, or does at once what its policy says.
    ///
    /// `patient` leaves a queue alone that is full although its socket takes bytes: its session has
    /// not had its turn.
    pub(crate) fn publish(&self, frame: &SharedFrame, patient: bool) -> Published {
        let mut state = self.lock();
        if self.is_closed() {
            return Published::Refused;
        }
        let SharedFrame { bytes, size, rule } = frame;
        let (verdict, shed) = self.judge(&mut state, *size, *rule, patient);
        match verdict {
            Verdict::Append(Some(slot)) => state.queue.push_latest(slot, bytes.clone(), *size),
            // The first is handed over as it is: a peer that keeps up needs no buffer of its own.
            Verdict::Append(None) if *size <= MAX_INLINE && !state.queue.is_empty() => {
                state.queue.push_copy(bytes, *size);
            }
            Verdict::Append(None) => state.queue.push_shared(bytes.clone(), *size),
            Verdict::Replace(at) => state.queue.replace(at, bytes.clone(), *size),
            Verdict::Drop => {}
            Verdict::Refuse(_) if patient && !state.blocked => return Published::Busy,
            Verdict::Refuse(policy) => {
                drop(state);
                if policy == Overflow::Disconnect {
                    self.request_close(CloseRequest::slow_consumer());
                }
                return Published::Refused;
            }
        }
        state.account(&self.totals);
        let flush = state.published();
        drop(state);
        self.tell(shed);
        match flush {
            Flush::Known => Published::Queued,
            Flush::Promised => Published::Promised,
            Flush::Session(sleeper) => {
                sleeper.wake();
                Published::Queued
            }
        }
    }
}
