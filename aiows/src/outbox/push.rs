//! Into the queue, or not: what happens where there is no room.

use std::pin::pin;

use bytes::Bytes;
use tokio::time::timeout;

use super::{CloseRequest, MAX_INLINE, Outbox, State};
use crate::codec::{Encoded, HEADROOM};
use crate::error::SendError;
use crate::overflow::{Overflow, Rule, Slot};
use crate::transport::{Opcode, write_header};

/// Why a message was not queued.
#[derive(Debug)]
pub(crate) enum Refused {
    Closed,
    /// There is no room, and this is what is to be done about it.
    Full(Encoded, Overflow),
}

/// What is done with a message.
pub(super) enum Verdict {
    Append(Option<Slot>),
    /// It was counted, and that is all.
    Drop,
    Refuse(Overflow),
    /// It takes the place of the message that stands there.
    Replace(usize),
}

/// Messages that were dropped to make room, or for want of it.
#[derive(Clone, Copy)]
pub(super) struct Shed {
    policy: Overflow,
    dropped: u64,
}

impl Outbox {
    /// Appends a message, or does at once what its policy says; for a policy that drops, that is `Ok`.
    ///
    /// # Errors
    ///
    /// `Full` gives the message back, `Closed` drops it.
    pub(crate) fn try_push(&self, opcode: Opcode, message: Encoded) -> Result<(), Refused> {
        self.offer(opcode, message, false)
    }

    /// Appends a message, waiting for room at most as long as a peer may refuse to read.
    ///
    /// Under a policy that drops it waits only while the socket takes bytes.
    ///
    /// Cancel safe: a dropped future has queued nothing.
    pub(crate) async fn push(&self, opcode: Opcode, message: Encoded) -> Result<(), SendError> {
        let mut refused = match self.offer(opcode, message, true) {
            Ok(()) => return Ok(()),
            Err(Refused::Closed) => return Err(SendError::Closed),
            Err(Refused::Full(message, policy)) => Some((message, policy)),
        };
        let wait = async {
            loop {
                let mut room = pin!(self.room.notified());
                // Registered before the attempt: room made in between is not missed.
                room.as_mut().enable();
                let Some((message, _)) = refused.take() else { return Ok(()) };
                match self.offer(opcode, message, true) {
                    Ok(()) => return Ok(()),
                    Err(Refused::Closed) => return Err(SendError::Closed),
                    Err(Refused::Full(message, policy)) => refused = Some((message, policy)),
                }
                room.await;
            }
        };
        match timeout(self.write_timeout, wait).await {
            Ok(result) => result,
            Err(_) => {
                refused.map_or(Ok(()), |(message, policy)| self.give_up(opcode, message, policy))
            }
        }
    }

    /// Does what the policy says about a message that has waited long enough.
    fn give_up(&self, opcode: Opcode, message: Encoded, policy: Overflow) -> Result<(), SendError> {
        if policy.drops() {
            return self.try_push(opcode, message).map_err(|refused| match refused {
                Refused::Closed => SendError::Closed,
                Refused::Full(..) => SendError::Full,
            });
        }
        if policy == Overflow::Disconnect {
            self.request_close(CloseRequest::slow_consumer());
        }
        Err(SendError::Full)
    }

    /// `patient` leaves a full queue alone while its socket takes bytes.
    fn offer(&self, opcode: Opcode, message: Encoded, patient: bool) -> Result<(), Refused> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        let size = message.payload().len();
        let (verdict, shed) = self.judge(&mut state, size, message.rule(), patient);
        match verdict {
            Verdict::Append(slot) => append(&mut state, opcode, slot, message),
            Verdict::Replace(at) => {
                state.queue.replace(at, compact(opcode, message), size);
            }
            Verdict::Drop => {}
            Verdict::Refuse(policy) => return Err(Refused::Full(message, policy)),
        }
        self.release(state, shed);
        Ok(())
    }

    /// Decides on a message, and makes room for it where its policy says so.
    pub(super) fn judge(
        &self,
        state: &mut State,
        size: usize,
        rule: Rule,
        patient: bool,
    ) -> (Verdict, Option<Shed>) {
        let (policy, slot) = match rule {
            Rule::Server => (self.overflow, None),
            Rule::Policy(policy) => (policy, None),
            Rule::Latest(slot) => (self.overflow, Some(slot)),
        };
        let earlier = slot.and_then(|slot| state.queue.find(slot));
        let has_room = self.has_room(state, size);
        match earlier {
            Some((at, before)) if size <= before || self.has_room_instead(state, size, before) => {
                return (Verdict::Replace(at), None);
            }
            _ if has_room => return (Verdict::Append(slot), None),
            _ if patient && policy.drops() && !state.blocked => {}
            _ if policy == Overflow::DropOldest => {
                if let Some((at, _)) = earlier {
                    state.queue.remove_replaced(at);
                }
                let dropped = self.make_room(state, size);
                return (Verdict::Append(slot), Some(Shed { policy, dropped }));
            }
            _ if policy == Overflow::DropNewest => {
                state.queue.note_newest_dropped();
                return (Verdict::Drop, Some(Shed { policy, dropped: 1 }));
            }
            _ => {}
        }
        (Verdict::Refuse(policy), None)
    }

    /// Whether there is room for a message in place of one with `before` bytes of payload.
    fn has_room_instead(&self, state: &State, size: usize, before: usize) -> bool {
        let more = size.saturating_sub(before);
        state.queue.messages() == 1
            || (state.queue.size() + more <= self.max_size
                && (!state.blocked || self.totals.without(0) + more <= self.max_total))
    }

    /// Drops the oldest until there is room, or nothing left that is not begun.
    fn make_room(&self, state: &mut State, size: usize) -> u64 {
        let mut dropped = 0;
        while !self.has_room(state, size) && state.queue.drop_oldest() {
            dropped += 1;
        }
        dropped
    }

    /// Wakes the session for what was queued, and tells the log what was dropped.
    pub(super) fn release(&self, mut state: std::sync::MutexGuard<'_, State>, shed: Option<Shed>) {
        state.account(&self.totals);
        let sleeper = if state.blocked { None } else { state.sleeper.take() };
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        self.tell(shed);
    }

    /// Tells the log what was dropped.
    pub(super) fn tell(&self, shed: Option<Shed>) {
        if let Some(Shed { policy, dropped }) = shed
            && dropped > 0
        {
            let policy = policy.name();
            tracing::warn!(connection = %self.id(), policy, dropped, "messages dropped");
        }
    }

    /// Appends the session's own answer to its peer, which is bounded by the one message it
    /// answers; `true` when no other message should be handled before the peer has read some.
    pub(crate) fn push_answer(&self, opcode: Opcode, message: Encoded) -> bool {
        let mut state = self.lock();
        if !self.is_closed() {
            append(&mut state, opcode, None, message);
            state.account(&self.totals);
        }
        !self.has_room(&state, 0)
    }
}

fn append(state: &mut State, opcode: Opcode, slot: Option<Slot>, message: Encoded) {
    let size = message.payload().len();
    if let Some(slot) = slot {
        return state.queue.push_latest(slot, compact(opcode, message), size);
    }
    let mut frame = message.into_buffer();
    let start = write_header(opcode, &mut frame);
    if size <= MAX_INLINE {
        state.queue.push_copy(&frame[start..], size);
        frame.give_back();
    } else {
        state.queue.push_shared(frame.into_bytes().slice(start..), size);
    }
}

/// The whole frame; a small one in memory of its own size, since buffers are larger.
fn compact(opcode: Opcode, message: Encoded) -> Bytes {
    let mut frame = message.into_buffer();
    let start = write_header(opcode, &mut frame);
    if frame.len() - HEADROOM > MAX_INLINE {
        return frame.into_bytes().slice(start..);
    }
    let bytes = Bytes::copy_from_slice(&frame[start..]);
    frame.give_back();
    bytes
}
