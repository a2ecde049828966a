//! One message for many clients: encoded once, and appended to each of their queues.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;

use super::offer::{OfferResult, Offered};
use super::policy::{Attempts, When};
use super::queue::Queue;
use super::{Outbox, SessionTurn};
use crate::codec::{Encoded, MAX_COPIED};
use crate::limits::Rule;

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
    pub(crate) fn new(mut message: Encoded) -> Self {
        let (size, rule) = (message.payload().len(), message.rule());
        Self { bytes: message.take_frame(), size, rule }
    }
}

impl Outbox {
    /// Publishes a frame that was `Busy` once the session has tried to write.
    ///
    /// Cancel safe: if the future is dropped, the frame is not queued.
    pub(crate) async fn publish_later(&self, frame: &SharedFrame, since: Attempts) -> OfferResult {
        loop {
            let mut changed = pin!(self.waiters.changed());
            // Registered before the attempt, so that a write of the session in between is not
            // missed.
            changed.as_mut().enable();
            match self.offer(frame, When::TriedAgain(since)) {
                OfferResult::Busy(_) => changed.await,
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

    /// Counts an announcement that was dropped because the queue was full.
    pub(crate) fn note_missed(&self) {
        self.lock().queue.note_newest_dropped();
    }

    /// Returns the most bytes that one part of a long list may have, so that several parts fit into
    /// the queue.
    pub(crate) fn part_size(&self) -> usize {
        MAX_PART.min(self.bounds.max_size() / 4)
    }
}

impl Offered for &SharedFrame {
    const IS_PUBLISHED: bool = true;

    fn size(&self) -> usize {
        self.size
    }

    fn rule(&self) -> Rule {
        self.rule
    }

    #[inline(always)]
    fn append(self, queue: &mut Queue) {
        let SharedFrame { bytes, size, rule } = self;
        match rule {
            Rule::Latest(key) => queue.push_latest(*key, bytes.clone(), *size),
            // The first frame is queued without a copy, so a client that keeps up needs no buffer
            // of its own.
            _ if *size <= MAX_COPIED && !queue.is_empty() => {
                queue.push_copy(bytes, *size, rule.class());
            }
            _ => queue.push_shared(bytes.clone(), *size, rule.class()),
        }
    }
}
