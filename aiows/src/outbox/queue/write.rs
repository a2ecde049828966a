//! What leaves the queue because it is written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;

use super::{Entry, Queue};
use crate::codec::buffer;

/// Parts written in one call; the kernel takes up to 1,024.
const MAX_SLICES: usize = 64;

/// An empty queue keeps room for this many entries, and no more.
const MAX_IDLE_ENTRIES: usize = 16;

impl Queue {
    /// Hands the front of the queue to `write` and removes what it took.
    pub(in super::super) fn write_with(
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
                Entry::Latest(latest) => &latest.frame[skip..],
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
            if let Entry::Copied { .. } = front {
                self.copied_start += length;
            }
            if let Some(entry) = self.entries.pop_front() {
                self.uncount(&entry);
            }
        }
        self.release();
    }

    /// Gives memory back: an idle connection keeps no buffer.
    pub(super) fn release(&mut self) {
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
