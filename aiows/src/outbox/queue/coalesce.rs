//! Messages that a newer one with the same key replaces, and their positions.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Entry, Latest, Queue, Recency};
use crate::limits::CoalesceKey;

/// A queue up to this length is searched, so that a client that keeps up needs no index.
const MAX_SEARCHED: usize = 64;

/// The position of the message with each key; built when a long queue is first searched.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The number of the first entry, wrapping around. It changes when an entry is inserted or
    /// removed near the front, so that the entries behind keep their numbers.
    first: u64,
    numbers: HashMap<CoalesceKey, u64>,
}

/// A message that is not partly written and may be replaced by a newer one.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Found {
    at: usize,
    /// Bytes of payload.
    pub(in super::super) size: usize,
}

impl Index {
    /// Returns the position for a key. If its entry is removed or partly written, the number may be
    /// stale and belong to another entry or to none, so the caller must check.
    fn at(&self, key: CoalesceKey) -> Option<usize> {
        let number = self.numbers.get(&key)?;
        usize::try_from(number.wrapping_sub(self.first)).ok()
    }

    /// Notes that an entry was inserted near the front.
    pub(super) fn note_inserted(&mut self) {
        self.first = self.first.wrapping_sub(1);
    }

    /// Notes that an entry at or near the front was removed.
    pub(super) fn note_removed(&mut self) {
        self.first = self.first.wrapping_add(1);
    }
}

impl Entry {
    fn is_latest_with(&self, key: CoalesceKey) -> bool {
        matches!(self, Self::Latest(latest) if latest.key == key)
    }
}

impl Queue {
    /// Finds the message with a key, if it is not partly written.
    pub(in super::super) fn find(&mut self, key: CoalesceKey) -> Option<Found> {
        if self.latest == 0 {
            return None;
        }
        let begun = self.first_unwritten();
        let at = if self.entries.len() <= MAX_SEARCHED {
            // If the partly written message has this key, it stands before the other one.
            self.entries.iter().rposition(|entry| entry.is_latest_with(key))?
        } else {
            self.index().at(key)?
        };
        let entry = self.entries.get(at).filter(|entry| entry.is_latest_with(key))?;
        (at >= begun).then(|| Found { at, size: entry.size().unwrap_or_default() })
    }

    fn index(&mut self) -> &mut Index {
        let Self { index, entries, .. } = self;
        index.get_or_insert_with(|| {
            let mut numbers = HashMap::new();
            for (number, entry) in (0..).zip(entries) {
                if let Entry::Latest(latest) = entry {
                    numbers.insert(latest.key, number);
                }
            }
            Box::new(Index { first: 0, numbers })
        })
    }

    /// Queues the newest message with a key. It takes the position of the waiting message with the
    /// key, unless another message with the key stands behind that one: then it goes to the back.
    pub(in super::super) fn push_latest(&mut self, key: CoalesceKey, frame: Bytes, size: usize) {
        if let Some(found) = self.find(key) {
            if let Some(Entry::Latest(latest)) = self.entries.get_mut(found.at)
                && latest.recency == Recency::Newest
            {
                self.size = self.size - latest.size + size;
                (latest.frame, latest.size) = (frame, size);
                self.counts.queued += 1;
                self.note_replaced();
                return;
            }
            self.remove_replaced(found);
        }
        let recency = Recency::Newest;
        self.entries.push_back(Entry::Latest(Box::new(Latest { key, frame, size, recency })));
        self.latest += 1;
        self.count(size);
        let last = self.entries.len() as u64 - 1;
        if let Some(index) = &mut self.index {
            index.numbers.insert(key, index.first.wrapping_add(last));
        }
    }

    /// Notes that an answer with a key was queued, so the waiting message with the key is not the
    /// newest any more.
    pub(in super::super) fn overtake(&mut self, key: CoalesceKey) {
        if let Some(found) = self.find(key)
            && let Some(Entry::Latest(latest)) = self.entries.get_mut(found.at)
        {
            latest.recency = Recency::Overtaken;
        }
    }

    /// Removes a message for a newer one with its key.
    pub(in super::super) fn remove_replaced(&mut self, found: Found) {
        self.remove_at(found.at);
        self.note_replaced();
    }

    fn note_replaced(&mut self) {
        self.counts.replaced += 1;
        self.counts.dropped += 1;
    }

    /// Removes the key of a removed message from the index, unless a newer message has it.
    pub(super) fn forget(&mut self, key: CoalesceKey) {
        let Some(index) = &mut self.index else { return };
        let is_there = |at| self.entries.get(at).is_some_and(|entry| entry.is_latest_with(key));
        if !index.at(key).is_some_and(is_there) {
            index.numbers.remove(&key);
        }
    }
}
