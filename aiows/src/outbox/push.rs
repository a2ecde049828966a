//! Into the queue, or not: what happens where there is no room.

use std::pin::pin;
use std::sync::MutexGuard;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::policy::{Admission, Aftermath, Attempts, When};
use super::{CloseRequest, MAX_INLINE, Outbox, State};
use crate::codec::{Encoded, buffer};
use crate::error::SendError;
use crate::limits::{Overflow, Rule};
use crate::protocol::write_header;

/// Why a message was not queued.
#[derive(Debug)]
pub(crate) enum Refused {
    Closed,
    /// There is no room; this is the message.
    Full(Encoded),
}

/// How far an outbox was when a sender began to wait.
#[derive(Clone, Copy)]
struct Progress {
    attempts: Attempts,
    written: u64,
}

impl Outbox {
    /// Appends a message, or does at once what its policy says; for a policy that drops, that is `Ok`.
    ///
    /// # Errors
    ///
    /// `Full` gives the message back, `Closed` drops it.
    pub(crate) fn try_push(&self, message: Encoded) -> Result<(), Refused> {
        self.offer(message, When::Now)
    }

    /// Appends a message, waiting for room at most as long as a client may refuse to read.
    ///
    /// Under a policy that drops it waits only while the socket takes bytes. Senders that wait are
    /// served in the order in which they came. When the server stops they wait for the grace of the stop.
    ///
    /// Cancel safe: a dropped future has queued nothing.
    pub(crate) async fn push(&self, message: Encoded) -> Result<(), SendError> {
        let message = if self.room.has_line() {
            message
        } else {
            match self.offer(message, When::Offered) {
                Ok(()) => return Ok(()),
                Err(Refused::Closed) => return Err(SendError::Closed),
                Err(Refused::Full(message)) => message,
            }
        };
        // Boxed because it is rare: handlers keep this future in theirs.
        Box::pin(self.push_in_line(message)).await
    }

    async fn push_in_line(&self, message: Encoded) -> Result<(), SendError> {
        let began = self.progress();
        let mut refused = Some(message);
        let wait = async {
            let line = self.room.stand_in_line();
            let _turn = line.turn().await;
            loop {
                let mut changed = pin!(self.room.changed());
                // Registered before the attempt: room made in between is not missed.
                changed.as_mut().enable();
                let Some(message) = refused.take() else { return Ok(()) };
                match self.offer(message, When::TriedAgain(began.attempts)) {
                    Ok(()) => return Ok(()),
                    Err(Refused::Closed) => return Err(SendError::Closed),
                    Err(Refused::Full(message)) => refused = Some(message),
                }
                changed.await;
            }
        };
        let wait = async {
            tokio::select! {
                biased;
                result = wait => result,
                () = self.drain_over() => Err(SendError::Closed),
            }
        };
        match timeout(self.write_timeout, wait).await {
            Ok(result) => result,
            Err(_) => refused.map_or(Ok(()), |message| self.give_up(message, began)),
        }
    }

    /// Resolves when the server stops and its clients have had the time to make room.
    async fn drain_over(&self) {
        loop {
            let mut changed = pin!(self.room.changed());
            // Registered before the look, so that a stop in between is not missed.
            changed.as_mut().enable();
            if let Some(grace) = self.drain_grace() {
                return sleep(grace).await;
            }
            changed.await;
        }
    }

    /// Does what the policy says about a message that has waited long enough.
    fn give_up(&self, message: Encoded, began: Progress) -> Result<(), SendError> {
        let policy = self.bounds.policy(message.rule());
        if policy.drops() {
            return self.try_push(message).map_err(|refused| match refused {
                Refused::Closed => SendError::Closed,
                Refused::Full(_) => SendError::Full,
            });
        }
        if policy == Overflow::Disconnect && self.is_stuck_since(began) {
            self.request_close(CloseRequest::slow_consumer());
        }
        Err(SendError::Full)
    }

    /// Whether the socket has refused every byte meanwhile. A session that was not scheduled says
    /// nothing about its client.
    fn is_stuck_since(&self, began: Progress) -> bool {
        let state = self.lock();
        state.queue.written() == began.written && state.may_act(When::TriedAgain(began.attempts))
    }

    fn progress(&self) -> Progress {
        let state = self.lock();
        Progress { attempts: state.attempts, written: state.queue.written() }
    }

    fn offer(&self, message: Encoded, when: When) -> Result<(), Refused> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        if !self.bounds.has_plain_room(&state, message.payload().len(), message.rule()) {
            return self.offer_with_policy(state, message, when);
        }
        append(&mut state, message);
        let session = state.sleeper.take();
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
        Ok(())
    }

    fn offer_with_policy(
        &self,
        mut state: MutexGuard<'_, State>,
        message: Encoded,
        when: When,
    ) -> Result<(), Refused> {
        let size = message.payload().len();
        let mut aftermath = Aftermath::default();
        let admission = self.bounds.admit(&mut state, size, message.rule(), when, &mut aftermath);
        let mut refused = None;
        match admission {
            Admission::Append => append(&mut state, message),
            Admission::Drop => {}
            Admission::Refuse(_) | Admission::Wait => refused = Some(message),
        }
        self.release(state, aftermath);
        refused.map_or(Ok(()), |message| Err(Refused::Full(message)))
    }

    /// Ends a change of the queue by a sender: wakes the session for what was queued, and whoever
    /// else the change concerns.
    pub(super) fn release(&self, mut state: MutexGuard<'_, State>, mut aftermath: Aftermath) {
        if !state.blocked {
            aftermath.session = aftermath.session.or_else(|| state.sleeper.take());
        }
        self.finish(state, aftermath);
    }

    /// As [`release`](Self::release), for a sender that has the frame written itself.
    pub(super) fn finish(&self, mut state: MutexGuard<'_, State>, aftermath: Aftermath) {
        state.account(self.bounds.totals());
        let Aftermath { session, made_room, dropped, closed } = aftermath;
        let line = dropped.and_then(|dropped| state.note_dropped(dropped));
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
        closed.into_iter().for_each(Waker::wake);
        if made_room {
            self.room.notify_waiters();
        }
        if let Some(line) = line {
            line.write(self.id);
        }
    }

    /// Appends the session's own answer to its peer, which is bounded by the one message it
    /// answers; `true` when no other message should be handled before the peer has read some.
    pub(crate) fn push_answer(&self, message: Encoded) -> bool {
        let mut state = self.lock();
        if !self.is_closed() {
            let rule = message.rule().kept();
            append(&mut state, message.with_rule(rule));
            state.account(self.bounds.totals());
        }
        !self.bounds.has_room(&state, 0)
    }
}

fn append(state: &mut State, message: Encoded) {
    let size = message.payload().len();
    let (rule, opcode) = (message.rule(), message.opcode());
    match rule {
        Rule::Latest(key) => return state.queue.push_latest(key, compact(message), size),
        Rule::Kept(Some(key)) => state.queue.overtake(key),
        Rule::Server | Rule::Policy(_) | Rule::DropOldest(_) | Rule::Kept(None) => {}
    }
    let mut frame = message.into_buffer();
    let start = write_header(opcode, &mut frame);
    if size <= MAX_INLINE {
        state.queue.push_copy(&frame[start..], size, rule.class());
        buffer::give_back(frame);
    } else {
        state.queue.push_shared(Bytes::from(frame).slice(start..), size, rule.class());
    }
}

/// The whole frame; a small one in memory of its own size, since buffers are larger.
fn compact(message: Encoded) -> Bytes {
    let (size, opcode) = (message.payload().len(), message.opcode());
    let mut frame = message.into_buffer();
    let start = write_header(opcode, &mut frame);
    if size > MAX_INLINE {
        return Bytes::from(frame).slice(start..);
    }
    let bytes = Bytes::copy_from_slice(&frame[start..]);
    buffer::give_back(frame);
    bytes
}
