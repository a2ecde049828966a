//! Messages that leave the queue without being sent.

use std::mem;

use super::{Entry, Queue};
use crate::codec::buffer;
use crate::limits::Class;

/// The number of `Removed` entries up to which gaps stay, and of their bytes.
const MAX_REMOVED: usize = 64;
const MAX_REMOVED_BYTES: usize = 64 * 1024;

impl Queue {
    /// Counts a message that was accepted and dropped at once.
    pub(in super::super) fn note_newest_dropped(&mut self) {
        self.counts.queued += 1;
        self.counts.dropped += 1;
    }

    /// Drops the oldest message of a class that is not partly written; `false` if there is none.
    pub(in super::super) fn drop_oldest(&mut self, class: Class) -> bool {
        let Some((at, _)) = self.droppable(class).next() else { return false };
        self.remove_at(at);
        self.counts.dropped += 1;
        true
    }

    /// Returns the messages of a class that are not partly written: their positions and their bytes
    /// of payload.
    fn droppable(&self, class: Class) -> impl Iterator<Item = (usize, usize)> {
        let whole = self.entries.iter().enumerate().skip(self.first_unwritten());
        whole
            .filter(move |(_, entry)| entry.class() == Some(class))
            .filter_map(|(at, entry)| Some((at, entry.size()?)))
    }

    /// Whether dropping messages of a class would make room.
    ///
    /// A partly written message stays, but is no obstacle: the queue takes one other message in
    /// addition.
    pub(in super::super) fn can_make_room(
        &self,
        class: Class,
        size: usize,
        max_messages: usize,
        max_size: usize,
    ) -> bool {
        let (mut messages, mut bytes) = (self.messages(), self.size);
        for (_, dropped) in self.droppable(class) {
            messages -= 1;
            bytes -= dropped;
            if messages < max_messages && bytes + size <= max_size {
                return true;
            }
        }
        messages == usize::from(self.has_partial_message())
    }

    /// Removes a message that is not partly written.
    pub(super) fn remove_at(&mut self, at: usize) {
        let begun = self.partly_written();
        let is_first = self.entries.iter().take(at).skip(begun).all(Entry::is_control);
        let entry = if is_first {
            let entry = self.entries.remove(at);
            if let Some(index) = &mut self.index {
                index.note_removed();
            }
            if let Some(Entry::Copied { length, .. }) = entry {
                self.skip_copied(length);
            }
            entry
        } else {
            // The position is kept, so that the other entries keep theirs.
            self.entries.get_mut(at).map(|entry| {
                let length = if let Entry::Copied { length, .. } = entry { *length } else { 0 };
                mem::replace(entry, Entry::Removed { length })
            })
        };
        if let Some(entry) = entry {
            self.uncount(&entry);
        }
        self.trim();
        self.close_gaps();
        self.release();
    }

    /// Removes the bytes of the oldest copy that is not partly written from `copied`.
    fn skip_copied(&mut self, length: usize) {
        // Moving the one partly written copy is cheaper than moving all bytes behind it.
        if let (1, Some(Entry::Copied { length: begun, .. })) =
            (self.partly_written(), self.entries.front())
        {
            let kept = self.copied_start..self.copied_start + begun;
            self.copied.copy_within(kept, self.copied_start + length);
        }
        self.copied_start += length;
    }

    /// Removes `Removed` entries at both ends.
    pub(super) fn trim(&mut self) {
        while let Some(Entry::Removed { length }) = self.entries.front() {
            self.copied_start += length;
            self.pop_front();
        }
        while let Some(Entry::Removed { length }) = self.entries.back() {
            self.copied.truncate(self.copied.len() - length);
            self.entries.pop_back();
        }
    }

    /// Removes all `Removed` entries if they are most of the queue.
    fn close_gaps(&mut self) {
        let run = self.copied.len() - self.copied_start;
        let has_few = self.entries.len() <= 2 * self.messages() + MAX_REMOVED;
        // The longest header of a copy is 4 bytes long.
        if has_few && run <= 2 * (self.size + 4 * self.messages()) + MAX_REMOVED_BYTES {
            return;
        }
        let (mut from, mut to) = (self.copied_start, self.copied_start);
        for entry in &self.entries {
            if let Entry::Copied { length, .. } = entry {
                self.copied.copy_within(from..from + length, to);
                to += length;
            }
            from += entry.copied();
        }
        self.copied.truncate(to);
        self.entries.retain(|entry| !matches!(entry, Entry::Removed { .. }));
        // All positions have changed.
        self.index = None;
    }

    /// Drops all messages but the partly written one, because a frame is never cut. Control frames
    /// stay. Returns the number of dropped messages.
    pub(in super::super) fn discard_unsent(&mut self) -> usize {
        let begun = self.first_unwritten();
        let mut index = 0;
        let mut keep_copied = 0;
        let (mut messages, mut latest, mut size) = (0, 0_u32, 0);
        self.entries.retain(|entry| {
            let is_gone = matches!(entry, Entry::Removed { .. });
            let keep = !is_gone && (entry.size().is_none() || index < begun);
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
        self.counts.dropped += u64::from(dropped);
        (self.messages, self.latest, self.size, self.index) = (messages, latest, size, None);
        // Only the first entry can be a kept copy, so the kept bytes come first.
        self.copied.truncate(self.copied_start + keep_copied);
        dropped as usize
    }

    /// Drops all entries; the counts stay.
    pub(in super::super) fn clear(&mut self) {
        let Self { counts, written, messages, peak, .. } = *self;
        buffer::give_back(mem::take(&mut self.copied));
        *self = Self { counts, written, peak, ..Self::default() };
        self.counts.dropped += u64::from(messages);
    }
}
