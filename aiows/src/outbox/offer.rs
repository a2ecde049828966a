//! The way of a message into the queue, whether it is for one client or for many: room, policy,
//! append, and the task that writes it.

use std::sync::MutexGuard;
use std::task::Waker;

use super::policy::{Admission, AfterUnlock, Attempts, When};
use super::queue::Queue;
use super::{CloseRequest, Outbox, SessionTurn, State};
use crate::limits::{Overflow, Rule};

/// A message that is offered to a queue.
pub(crate) trait Offered {
    /// Whether its sender publishes it to many clients, and writes to all of them afterwards.
    const IS_PUBLISHED: bool;

    /// Returns the bytes of payload.
    fn size(&self) -> usize;

    fn rule(&self) -> Rule;

    fn append(self, queue: &mut Queue);
}

/// The result of offering a message to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfferResult {
    /// The message is queued, and the sender has no more to do.
    Queued,
    /// The message is queued, and the publisher has to call `flush_deferred`.
    Deferred,
    /// A policy has dropped the message and counted it.
    Dropped,
    /// The queue is full, and the session has not tried to write since this many attempts.
    Busy(Attempts),
    /// The queue is full. If the policy of a publication is to close the connection, that is
    /// requested.
    Full,
    /// The connection is closed.
    Closed,
}

impl Outbox {
    /// Appends a message, or applies its policy. A message that is not queued stays with the
    /// caller.
    ///
    /// A client is slow only if its socket refuses bytes. Over plain TCP a full queue is written to
    /// the socket here. On other streams the result is `Busy` until the session has tried to write.
    #[inline]
    pub(crate) fn offer<M: Offered>(&self, message: M, when: When) -> OfferResult {
        let mut state = self.lock();
        if self.is_closed() {
            return OfferResult::Closed;
        }
        let is_part = matches!(when, When::Never);
        if is_part || !self.bounds.has_plain_room(&state, message.size(), message.rule()) {
            return self.offer_with_policy(state, message, when);
        }
        message.append(&mut state.queue);
        let mut session = None;
        let published = state.schedule_write(M::IS_PUBLISHED, &mut session);
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
        published
    }

    fn offer_with_policy<M: Offered>(
        &self,
        mut state: MutexGuard<'_, State>,
        message: M,
        when: When,
    ) -> OfferResult {
        let mut after_unlock = AfterUnlock::default();
        let (size, rule) = (message.size(), message.rule());
        let admission = self.bounds.admit(&mut state, size, rule, when, &mut after_unlock);
        let published = match admission {
            Admission::Append => {
                message.append(&mut state.queue);
                state.schedule_write(M::IS_PUBLISHED, &mut after_unlock.session)
            }
            Admission::Drop => OfferResult::Dropped,
            Admission::Wait if state.turn != SessionTurn::Missing => {
                OfferResult::Busy(state.attempts)
            }
            Admission::Wait | Admission::Refuse(_) => OfferResult::Full,
        };
        self.unlock(state, after_unlock);
        if M::IS_PUBLISHED && matches!(admission, Admission::Refuse(Overflow::Disconnect)) {
            self.request_close(CloseRequest::slow_consumer());
        }
        published
    }
}

impl State {
    /// Determines which task writes the message just appended. The session is taken out if it has
    /// to be woken for that. If it is awake or waits for the socket, it writes the message anyway.
    fn schedule_write(&mut self, is_published: bool, session: &mut Option<Waker>) -> OfferResult {
        if self.is_blocked || self.sleeper.is_none() {
            return OfferResult::Queued;
        }
        if is_published && self.writer.is_some() {
            // The session of a plain TCP connection stays asleep as long as the socket takes all
            // bytes. An earlier publication may have deferred a flush already.
            return match std::mem::replace(&mut self.is_flush_deferred, true) {
                true => OfferResult::Queued,
                false => OfferResult::Deferred,
            };
        }
        *session = self.sleeper.take();
        OfferResult::Queued
    }
}
