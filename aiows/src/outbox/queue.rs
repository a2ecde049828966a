use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;

use bytes::Bytes;

use crate::codec::buffer;

/// Parts written in one call; the kernel takes up to 1,024.
const MAX_SLICES: usize = 64;

/// An empty queue keeps room for this many entries, and no more.
const MAX_IDLE_ENTRIES: usize = 16;

/// Pongs that wait. A peer that sends more pings than this without reading loses the oldest.
const MAX_PONGS: usize = 16;

/// Frames in the order they are written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// The bytes of all `Copied` entries, in order, behind `copied_start` used up ones.
    copied: Vec<u8>,
    copied_start: usize,
    /// How much of the first entry is written.
    front_written: usize,
    messages: usize,
    size: usize,
    written: u64,
}

#[derive(Debug)]
enum Entry {
    /// The next `length` bytes of `copied`: a message with `size` bytes of payload.
    Copied { length: usize, size: usize },
    /// A frame that stands outside of the bounds.
    Control(Bytes),
    /// A pong; at most `MAX_PONGS` are not begun.
    Pong(Bytes),
    /// A message that may be shared with other queues.
    Shared { frame: Bytes, size: usize },
}

impl Entry {
    fn len(&self) -> usize {
        match self {
            Self::Copied { length, .. } => *length,
            Self::Control(frame) | Self::Pong(frame) | Self::Shared { frame, .. } => frame.len(),
        }
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An empty queue has room for any message.
    pub(super) fn has_room(&self, size: usize, max_messages: usize, max_size: usize) -> bool {
        self.messages == 0 || (self.messages < max_messages && self.size + size <= max_size)
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn push_copy(&mut self, frame: &[u8], size: usize) {
        if self.copied.capacity() == 0 {
            self.copied = buffer::take();
        }
        self.copied.extend_from_slice(frame);
        self.entries.push_back(Entry::Copied { length: frame.len(), size });
        self.count(size);
    }

    pub(super) fn push_shared(&mut self, frame: Bytes, size: usize) {
        self.entries.push_back(Entry::Shared { frame, size });
        self.count(size);
    }

    fn count(&mut self, size: usize) {
        self.messages += 1;
        self.size += size;
    }

    /// Queues a control frame ahead of every message that is not begun.
    pub(super) fn push_control(&mut self, frame: Bytes) {
        self.insert_control(Entry::Control(frame));
    }

    fn insert_control(&mut self, entry: Entry) {
        let begun = self.begun();
        let before = self.entries.iter().skip(begun).take_while(|entry| is_control(entry)).count();
        self.entries.insert(begun + before, entry);
    }

    /// Queues a control frame behind everything.
    pub(super) fn push_last(&mut self, frame: Bytes) {
        self.entries.push_back(Entry::Control(frame));
    }

    /// Queues a pong, in place of the oldest when many are not begun. Source: RFC 6455 section 5.5.3,
    /// which asks for the newest only.
    pub(super) fn push_pong(&mut self, frame: Bytes) {
        let begun = self.begun();
        let controls = self.entries.iter().enumerate().skip(begun);
        let mut pongs = controls
            .take_while(|(_, entry)| is_control(entry))
            .filter(|(_, entry)| matches!(entry, Entry::Pong(_)))
            .map(|(at, _)| at);
        if let Some(oldest) = pongs.next()
            && pongs.count() + 1 >= MAX_PONGS
        {
            self.entries.remove(oldest);
        }
        self.insert_control(Entry::Pong(frame));
    }

    /// How many entries are partly written: none or one.
    fn begun(&self) -> usize {
        usize::from(self.front_written > 0)
    }

    /// Keeps control frames and the message that is partly written: a frame is never cut.
    pub(super) fn discard_unsent(&mut self) {
        let begun = self.begun();
        let mut index = 0;
        let mut keep_copied = 0;
        let (mut messages, mut size) = (0, 0);
        self.entries.retain(|entry| {
            let keep = is_control(entry) || index < begun;
            index += 1;
            if keep
                && let Entry::Copied { size: bytes, .. } | Entry::Shared { size: bytes, .. } = entry
            {
                messages += 1;
                size += bytes;
            }
            if keep && let Entry::Copied { length, .. } = entry {
                keep_copied += length;
            }
            keep
        });
        (self.messages, self.size) = (messages, size);
        // Only the first entry can be a kept copy, so the kept bytes stand first.
        self.copied.truncate(self.copied_start + keep_copied);
    }

    /// Hands the front of the queue to `write` and removes what it took.
    pub(super) fn write_with(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let is_copied = |entry: &Entry| matches!(entry, Entry::Copied { .. });
        let taken = if self.entries.iter().all(is_copied) {
            // The common case: small messages only, which lie in one run.
            let start = self.copied_start + self.front_written;
            write(&[IoSlice::new(&self.copied[start..])])?
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.fill(&mut slices);
            write(&slices[..count])?
        };
        self.written += taken as u64;
        self.remove(taken);
        Ok(taken)
    }

    /// Consecutive copied entries become one slice.
    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut skip = self.front_written;
        let (mut count, mut run_start, mut run_end) = (0, self.copied_start, self.copied_start);
        for entry in &self.entries {
            let shared = match entry {
                Entry::Copied { length, .. } => {
                    run_start += skip;
                    run_end += length;
                    skip = 0;
                    continue;
                }
                Entry::Control(frame) | Entry::Pong(frame) | Entry::Shared { frame, .. } => {
                    &frame[skip..]
                }
            };
            skip = 0;
            if count + 2 > MAX_SLICES {
                break;
            }
            if run_start < run_end {
                slices[count] = IoSlice::new(&self.copied[run_start..run_end]);
                run_start = run_end;
                count += 1;
            }
            slices[count] = IoSlice::new(shared);
            count += 1;
        }
        if run_start < run_end && count < MAX_SLICES {
            slices[count] = IoSlice::new(&self.copied[run_start..run_end]);
            count += 1;
        }
        count
    }

    fn remove(&mut self, mut taken: usize) {
        taken += self.front_written;
        self.front_written = 0;
        while let Some(front) = self.entries.front() {
            let length = front.len();
            if taken < length {
                self.front_written = taken;
                break;
            }
            taken -= length;
            match self.entries.pop_front() {
                Some(Entry::Copied { length, size }) => {
                    self.copied_start += length;
                    self.uncount(size);
                }
                Some(Entry::Shared { size, .. }) => self.uncount(size),
                Some(Entry::Control(_) | Entry::Pong(_)) | None => {}
            }
        }
        self.release();
    }

    fn uncount(&mut self, size: usize) {
        self.messages -= 1;
        self.size -= size;
    }

    /// Gives memory back: an idle connection keeps no buffer.
    fn release(&mut self) {
        if self.copied_start == self.copied.len() {
            buffer::give_back(mem::take(&mut self.copied));
            self.copied_start = 0;
        } else if self.copied_start > self.copied.len() / 2 && self.copied_start > 4096 {
            self.copied.drain(..self.copied_start);
            self.copied_start = 0;
        }
        if self.entries.is_empty() && self.entries.capacity() > MAX_IDLE_ENTRIES {
            self.entries = VecDeque::new();
        }
    }
}

fn is_control(entry: &Entry) -> bool {
    matches!(entry, Entry::Control(_) | Entry::Pong(_))
}
