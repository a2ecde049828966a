//! Messages to one client: queued at once, after waiting, or refused.

use std::pin::pin;
use std::sync::MutexGuard;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::policy::{Admission, AfterUnlock, Attempts, When};
use super::{CloseRequest, MAX_INLINE, Outbox, State};
use crate::codec::{Encoded, buffer};
use crate::error::SendError;
use crate::limits::{Overflow, Rule};
use crate::protocol::write_header;

/// Why a message was not queued.
#[derive(Debug)]
pub(crate) enum Refused {
    Closed,
    /// The queue is full; the message is returned.
    Full(Encoded),
}

/// The progress of an outbox when a sender began to wait.
#[derive(Clone, Copy)]
struct Progress {
    attempts: Attempts,
    written: u64,
}

impl Outbox {
    /// Appends a message, or applies its policy at once. If the policy drops the message, the
    /// result is `Ok`.
    ///
    /// # Errors
    ///
    /// `Full` returns the message, `Closed` drops it.
    pub(crate) fn try_push(&self, message: Encoded) -> Result<(), Refused> {
        self.offer(message, When::Now)
    }

    /// Appends a message. If the queue is full, it waits for at most the write timeout.
    ///
    /// Under a policy that drops messages, it waits only while the socket takes bytes. Senders that
    /// wait are served in the order in which they began. While the server shuts down, they wait for
    /// the grace of the drain at most.
    ///
    /// Cancel safe: if the future is dropped, the message is not queued.
    pub(crate) async fn push(&self, message: Encoded) -> Result<(), SendError> {
        let message = if self.waiters.has_senders() {
            message
        } else {
            match self.offer(message, When::Offered) {
                Ok(()) => return Ok(()),
                Err(Refused::Closed) => return Err(SendError::Closed),
                Err(Refused::Full(message)) => message,
            }
        };
        // Boxed because it is rare: the futures of handlers contain this one.
        Box::pin(self.push_waiting(message)).await
    }

    async fn push_waiting(&self, message: Encoded) -> Result<(), SendError> {
        let began = self.progress();
        let mut refused = Some(message);
        let wait = async {
            let line = self.waiters.enter();
            let _turn = line.turn().await;
            loop {
                let mut changed = pin!(self.waiters.changed());
                // Registered before the attempt, so that room made in between is not missed.
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

    /// Resolves when the server shuts down and the client's grace to make room is over.
    async fn drain_over(&self) {
        loop {
            let mut changed = pin!(self.waiters.changed());
            // Registered before the check, so that a drain that begins in between is not missed.
            changed.as_mut().enable();
            if let Some(grace) = self.drain_grace() {
                return sleep(grace).await;
            }
            changed.await;
        }
    }

    /// Applies the policy to a message that has waited long enough.
    fn give_up(&self, message: Encoded, began: Progress) -> Result<(), SendError> {
        let policy = self.bounds.policy(message.rule());
        if policy.drops() {
            return self.try_push(message).map_err(|refused| match refused {
                Refused::Closed => SendError::Closed,
                Refused::Full(_) => SendError::Full,
            });
        }
        if policy == Overflow::Disconnect && self.is_blocked_since(began) {
            self.request_close(CloseRequest::slow_consumer());
        }
        Err(SendError::Full)
    }

    /// Whether the socket has refused every byte since the sender began to wait. If the session was
    /// not scheduled in that time, this is no evidence of a slow client.
    fn is_blocked_since(&self, began: Progress) -> bool {
        let state = self.lock();
        state.queue.written() == began.written
            && state.may_apply_policy(When::TriedAgain(began.attempts))
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
        let mut after_unlock = AfterUnlock::default();
        let admission =
            self.bounds.admit(&mut state, size, message.rule(), when, &mut after_unlock);
        let mut refused = None;
        match admission {
            Admission::Append => append(&mut state, message),
            Admission::Drop => {}
            Admission::Refuse(_) | Admission::Wait => refused = Some(message),
        }
        self.release(state, after_unlock);
        refused.map_or(Ok(()), |message| Err(Refused::Full(message)))
    }

    /// Ends a sender's change of the queue: wakes the session for the appended message, and all
    /// other tasks that the change concerns.
    pub(super) fn release(&self, mut state: MutexGuard<'_, State>, mut after_unlock: AfterUnlock) {
        if !state.is_blocked {
            after_unlock.session = after_unlock.session.or_else(|| state.sleeper.take());
        }
        self.finish(state, after_unlock);
    }

    /// Like [`release`](Self::release), for a sender that arranges the write itself.
    pub(super) fn finish(&self, mut state: MutexGuard<'_, State>, after_unlock: AfterUnlock) {
        state.account(self.bounds.totals());
        let AfterUnlock { session, made_room, dropped, closed } = after_unlock;
        let line = dropped.and_then(|dropped| state.note_dropped(dropped));
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
        closed.into_iter().for_each(Waker::wake);
        if made_room {
            self.waiters.notify_waiters();
        }
        if let Some(line) = line {
            line.write(self.id);
        }
    }

    /// Appends the session's answer to a message, even if the queue is full: one message has at
    /// most one answer. Returns `true` if no other message should be handled until the client has
    /// read more.
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

/// Returns the whole frame. A small one is copied into memory of its exact size, because buffers
/// are larger.
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
