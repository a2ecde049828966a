//! One message for many peers: encoded once, appended to each of their outboxes.

use std::pin::pin;
use std::sync::MutexGuard;
use std::time::Duration;

use bytes::Bytes;

use super::flush::Flush;
use super::policy::{Admission, Aftermath, Attempts, When};
use super::{CloseRequest, MAX_INLINE, Outbox, SessionTurn, State};
use crate::codec::Encoded;
use crate::limits::{Overflow, Rule};
use crate::protocol::{HEADROOM, write_header};

/// The most bytes of a part of a long list.
const MAX_PART: usize = 48 * 1024;

/// A whole frame that any number of outboxes may hold.
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

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    Queued,
    /// It was queued, and whoever published it sees to it that `flush_deferred` is called.
    Deferred,
    /// A policy has dropped it, and counted that.
    Dropped,
    /// There is no room, and the session has not tried its stream since this many attempts.
    Busy(Attempts),
    /// The connection is closed, or there is no room.
    Refused,
}

impl Outbox {
    /// Appends a frame, or does at once what its policy says.
    ///
    /// A client is slow only if its socket refuses bytes. Over plain TCP the socket is tried here,
    /// when there is no room; elsewhere the result is `Busy` until the session has tried its stream.
    pub(crate) fn publish(&self, frame: &SharedFrame) -> Published {
        self.publish_when(frame, When::Offered)
    }

    /// Publishes a frame that was `Busy`, after the session has tried its stream.
    ///
    /// Cancel safe: a dropped future has queued nothing.
    pub(crate) async fn publish_later(&self, frame: &SharedFrame, since: Attempts) -> Published {
        loop {
            let mut changed = pin!(self.room.changed());
            // Registered before the attempt: a try of the session in between is not missed.
            changed.as_mut().enable();
            match self.publish_when(frame, When::TriedAgain(since)) {
                Published::Busy(_) => changed.await,
                published => return published,
            }
        }
    }

    /// Gives up a frame whose session was waited for long enough. Its client is not closed; until
    /// the session runs again, publishers do not wait for it.
    pub(crate) fn give_up_publish(&self, since: Attempts) {
        let mut state = self.lock();
        if state.attempts == since {
            state.turn = SessionTurn::Missing;
        }
    }

    /// How long a publisher waits for the session.
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
        let flush = state.published();
        drop(state);
        match flush {
            Flush::Known => Published::Queued,
            Flush::Deferred => Published::Deferred,
            Flush::Session(sleeper) => {
                sleeper.wake();
                Published::Queued
            }
        }
    }

    /// Publishes a frame if half of what may wait has room for it; otherwise it is `Refused`, and no
    /// policy acts. What is sent in many parts leaves room for other messages like this.
    pub(crate) fn publish_part(&self, frame: &SharedFrame) -> Published {
        let mut state = self.lock();
        if self.is_closed() {
            return Published::Refused;
        }
        let mut aftermath = Aftermath::default();
        let mut published = Published::Refused;
        if self.bounds.has_room_for_part(&state, frame.size)
            || (state.try_tcp(&mut aftermath) && self.bounds.has_room_for_part(&state, frame.size))
        {
            state.append_shared(frame);
            published = state.note_published(&mut aftermath);
        }
        self.finish(state, aftermath);
        published
    }

    /// Counts an announcement that found no room.
    pub(crate) fn note_missed(&self) {
        self.lock().queue.note_newest_dropped();
    }

    /// The most bytes of a message of which there may be many: several fit into the queue.
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
        let mut aftermath = Aftermath::default();
        let mut published = Published::Queued;
        match self.bounds.admit(&mut state, *size, *rule, when, &mut aftermath) {
            Admission::Append => match *rule {
                Rule::Latest(key) => state.queue.push_latest(key, bytes.clone(), *size),
                _ => state.append_shared(frame),
            },
            Admission::Drop => published = Published::Dropped,
            Admission::Wait if state.turn == SessionTurn::Missing => published = Published::Refused,
            Admission::Wait => published = Published::Busy(state.attempts),
            Admission::Refuse(policy) => {
                self.finish(state, aftermath);
                if policy == Overflow::Disconnect {
                    self.request_close(CloseRequest::slow_consumer());
                }
                return Published::Refused;
            }
        }
        if published == Published::Queued {
            published = state.note_published(&mut aftermath);
        }
        self.finish(state, aftermath);
        published
    }
}

impl State {
    /// Arranges for what was appended to be written.
    fn note_published(&mut self, aftermath: &mut Aftermath) -> Published {
        match self.published() {
            Flush::Known => {}
            Flush::Deferred => return Published::Deferred,
            Flush::Session(sleeper) => aftermath.session = Some(sleeper),
        }
        Published::Queued
    }

    fn append_shared(&mut self, frame: &SharedFrame) {
        let SharedFrame { bytes, size, rule } = frame;
        let class = rule.class();
        // The first is handed over as it is: a client that keeps up needs no buffer of its own.
        if *size <= MAX_INLINE && !self.queue.is_empty() {
            self.queue.push_copy(bytes, *size, class);
        } else {
            self.queue.push_shared(bytes.clone(), *size, class);
        }
    }
}
