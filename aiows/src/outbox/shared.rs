//! One message for many clients: encoded once, and appended to each of their queues.

use std::pin::pin;
use std::sync::MutexGuard;
use std::time::Duration;

use bytes::Bytes;

use super::flush::Flush;
use super::policy::{Admission, AfterUnlock, Attempts, When};
use super::{CloseRequest, MAX_INLINE, Outbox, SessionTurn, State};
use crate::codec::Encoded;
use crate::limits::{Overflow, Rule};
use crate::protocol::{HEADROOM, write_header};

/// The most bytes in one part of a long list.
const MAX_PART: usize = 48 * 1024;

/// A whole frame that any number of queues may share.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrame {
    bytes: Bytes,
    /// Bytes of payload.
    size: usize,
    rule: Rule,
}

impl SharedFrame {
    pub(crate) fn new(message: Encoded) -> Self {
        let (rule, opcode) = (message.rule(), message.opcode());
        let mut frame = message.into_buffer();
        let start = write_header(opcode, &mut frame);
        let size = frame.len() - HEADROOM;
        Self { bytes: Bytes::from(frame).slice(start..), size, rule }
    }
}

/// The result of publishing a frame to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The frame is queued, and the publisher has no more to do.
    Queued,
    /// The frame is queued, and the publisher has to call `flush_deferred`.
    Deferred,
    /// A policy has dropped the frame and counted it.
    Dropped,
    /// The queue is full, and the session has not tried to write since this many attempts.
    Busy(Attempts),
    /// The connection is closed, or the queue is full.
    Refused,
}

impl Outbox {
    /// Appends a frame, or applies its policy at once.
    ///
    /// A client is slow only if its socket refuses bytes. Over plain TCP a full queue is written to
    /// the socket here. On other streams the result is `Busy` until the session has tried to write.
    pub(crate) fn publish(&self, frame: &SharedFrame) -> Published {
        self.publish_when(frame, When::Offered)
    }

    /// Publishes a frame that was `Busy` once the session has tried to write.
    ///
    /// Cancel safe: if the future is dropped, the frame is not queued.
    pub(crate) async fn publish_later(&self, frame: &SharedFrame, since: Attempts) -> Published {
        loop {
            let mut changed = pin!(self.waiters.changed());
            // Registered before the attempt, so that a write of the session in between is not
            // missed.
            changed.as_mut().enable();
            match self.publish_when(frame, When::TriedAgain(since)) {
                Published::Busy(_) => changed.await,
                published => return published,
            }
        }
    }

    /// Gives up on a frame after waiting long enough for the session. The client is not closed, and
    /// publishers do not wait for the session until it runs again.
    pub(crate) fn give_up_publish(&self, since: Attempts) {
        let mut state = self.lock();
        if state.attempts == since {
            state.turn = SessionTurn::Missing;
        }
    }

    /// Returns how long a publisher waits for the session.
    pub(crate) fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    pub(super) fn publish_when(&self, frame: &SharedFrame, when: When) -> Published {
        let mut state = self.lock();
        if self.is_closed() {
            return Published::Refused;
        }
        if !self.bounds.has_plain_room(&state, frame.size, frame.rule) {
            return self.publish_with_policy(state, frame, when);
        }
        state.append_shared(frame);
        let flush = state.schedule_flush();
        drop(state);
        match flush {
            Flush::AlreadyScheduled => Published::Queued,
            Flush::Deferred => Published::Deferred,
            Flush::Session(sleeper) => {
                sleeper.wake();
                Published::Queued
            }
        }
    }

    /// Publishes a frame if it fits into half of the queue's limits. Otherwise the result is
    /// `Refused`, and no policy is applied. A list that is sent in many parts leaves room for other
    /// messages this way.
    pub(crate) fn publish_part(&self, frame: &SharedFrame) -> Published {
        let mut state = self.lock();
        if self.is_closed() {
            return Published::Refused;
        }
        let mut after_unlock = AfterUnlock::default();
        let mut published = Published::Refused;
        if self.bounds.has_room_for_part(&state, frame.size)
            || (state.try_tcp(&mut after_unlock)
                && self.bounds.has_room_for_part(&state, frame.size))
        {
            state.append_shared(frame);
            published = state.schedule_published(&mut after_unlock);
        }
        self.finish(state, after_unlock);
        published
    }

    /// Counts an announcement that was dropped because the queue was full.
    pub(crate) fn note_missed(&self) {
        self.lock().queue.note_newest_dropped();
    }

    /// Returns the most bytes that one part of a long list may have, so that several parts fit into
    /// the queue.
    pub(crate) fn part_size(&self) -> usize {
        MAX_PART.min(self.bounds.max_size() / 4)
    }

    fn publish_with_policy(
        &self,
        mut state: MutexGuard<'_, State>,
        frame: &SharedFrame,
        when: When,
    ) -> Published {
        let SharedFrame { bytes, size, rule } = frame;
        let mut after_unlock = AfterUnlock::default();
        let mut published = Published::Queued;
        match self.bounds.admit(&mut state, *size, *rule, when, &mut after_unlock) {
            Admission::Append => match *rule {
                Rule::Latest(key) => state.queue.push_latest(key, bytes.clone(), *size),
                _ => state.append_shared(frame),
            },
            Admission::Drop => published = Published::Dropped,
            Admission::Wait if state.turn == SessionTurn::Missing => published = Published::Refused,
            Admission::Wait => published = Published::Busy(state.attempts),
            Admission::Refuse(policy) => {
                self.finish(state, after_unlock);
                if policy == Overflow::Disconnect {
                    self.request_close(CloseRequest::slow_consumer());
                }
                return Published::Refused;
            }
        }
        if published == Published::Queued {
            published = state.schedule_published(&mut after_unlock);
        }
        self.finish(state, after_unlock);
        published
    }
}

impl State {
    /// Arranges that the appended frame is written.
    fn schedule_published(&mut self, after_unlock: &mut AfterUnlock) -> Published {
        match self.schedule_flush() {
            Flush::AlreadyScheduled => {}
            Flush::Deferred => return Published::Deferred,
            Flush::Session(sleeper) => after_unlock.session = Some(sleeper),
        }
        Published::Queued
    }

    fn append_shared(&mut self, frame: &SharedFrame) {
        let SharedFrame { bytes, size, rule } = frame;
        let class = rule.class();
        // The first frame is queued without a copy, so a client that keeps up needs no buffer of
        // its own.
        if *size <= MAX_INLINE && !self.queue.is_empty() {
            self.queue.push_copy(bytes, *size, class);
        } else {
            self.queue.push_shared(bytes.clone(), *size, class);
        }
    }
}
