//! What leaves the queue without being sent.

use bytes::Bytes;

use super::{Entry, Queue};
use crate::codec::buffer;
use crate::overflow::Slot;

impl Queue {
    /// Finds the message of a slot that is not begun: where it stands, and its bytes of payload.
    pub(in super::super) fn find(&self, slot: Slot) -> Option<(usize, usize)> {
        if self.latest == 0 {
            return None;
        }
        let begun = self.first_whole();
        self.entries.iter().enumerate().skip(begun).find_map(|(at, entry)| match entry {
            Entry::Latest(latest) if latest.slot == slot => Some((at, latest.size)),
            _ => None,
        })
    }

    /// Puts a message in the place of the one [`find`](Self::find) has found.
    pub(in super::super) fn replace(&mut self, at: usize, frame: Bytes, size: usize) {
        if let Some(Entry::Latest(latest)) = self.entries.get_mut(at) {
            self.size = self.size - latest.size + size;
            (latest.frame, latest.size) = (frame, size);
            self.counts.queued += 1;
            self.note_replaced();
        }
    }

    /// Removes the message that [`find`](Self::find) has found, for one that needs more room.
    pub(in super::super) fn remove_replaced(&mut self, at: usize) {
        if let Some(entry) = self.entries.remove(at) {
            self.uncount(&entry);
            self.note_replaced();
        }
    }

    fn note_replaced(&mut self) {
        self.counts.replaced += 1;
        self.counts.dropped += 1;
    }

    /// Counts a message that was accepted and not queued.
    pub(in super::super) fn note_newest_dropped(&mut self) {
        self.counts.queued += 1;
        self.counts.dropped += 1;
    }

    /// Drops the oldest message that is not begun; `false` when there is none.
    pub(in super::super) fn drop_oldest(&mut self) -> bool {
        let begun = self.first_whole();
        let mut whole = self.entries.iter().enumerate().skip(begun);
        let Some((at, _)) = whole.find(|(_, entry)| entry.size().is_some()) else {
            return false;
        };
        let Some(entry) = self.entries.remove(at) else { return false };
        if let Entry::Copied { length, .. } = entry {
            self.skip_copied(length);
        }
        self.uncount(&entry);
        self.counts.dropped += 1;
        true
    }

    /// Takes the bytes of the oldest copy that is not begun out of the run.
    fn skip_copied(&mut self, length: usize) {
        // Moving one begun copy is cheaper than moving everything behind it.
        if let (1, Some(Entry::Copied { length: begun, .. })) = (self.begun(), self.entries.front())
        {
            let kept = self.copied_start..self.copied_start + begun;
            self.copied.copy_within(kept, self.copied_start + length);
        }
        self.copied_start += length;
        self.release();
    }

    /// Keeps control frames and the message that is begun: a frame is never cut. Tells how many
    /// messages were dropped.
    pub(in super::super) fn discard_unsent(&mut self) -> usize {
        let begun = self.first_whole();
        let mut index = 0;
        let mut keep_copied = 0;
        let (mut messages, mut latest, mut size) = (0, 0_u32, 0);
        self.entries.retain(|entry| {
            let keep = entry.size().is_none() || index < begun;
            index += 1;
            if keep && let Some(bytes) = entry.size() {
                messages += 1;
                size += bytes;
                latest += u32::from(matches!(entry, Entry::Latest(_)));
            }
            if keep && let Entry::Copied { length, .. } = entry {
                keep_copied += length;
            }
            keep
        });
        let dropped = self.messages - messages;
        self.counts.dropped += dropped as u64;
        (self.messages, self.latest, self.size) = (messages, latest, size);
        // Only the first entry can be a kept copy, so the kept bytes stand first.
        self.copied.truncate(self.copied_start + keep_copied);
        dropped
    }

    /// Forgets everything; the counts stay.
    pub(in super::super) fn clear(&mut self) {
        let Self { counts, written, messages, .. } = *self;
        buffer::give_back(std::mem::take(&mut self.copied));
        *self = Self { counts, written, ..Self::default() };
        self.counts.dropped += messages as u64;
    }
}
