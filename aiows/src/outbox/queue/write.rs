//! Writing the queue, and removing the entries that are written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::task::Poll;

use super::fragments::fragment;
use super::{Entry, Queue};
use crate::codec::buffer;
use crate::protocol::FRAGMENT;

/// The most parts written in one call; the kernel takes up to 1,024.
const MAX_SLICES: usize = 64;

/// An empty queue keeps capacity for at most this many entries.
const MAX_IDLE_ENTRIES: usize = 16;

impl Queue {
    /// Passes the queue to `write` until the queue is empty or `write` fails, and removes the bytes
    /// that were taken. Returns `Pending` if `write` fails with `WouldBlock`, and whether any bytes
    /// were taken.
    #[inline]
    pub(in super::super) fn write(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (Poll<io::Result<()>>, bool) {
        let mut freed = false;
        let result = loop {
            if self.is_empty() {
                break Poll::Ready(Ok(()));
            }
            let (written, all) = match self.contiguous() {
                // The common case.
                Some(piece) => (write(&[IoSlice::new(piece)]), Some(piece.len())),
                None => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let count = self.fill(&mut slices);
                    (write(&slices[..count]), None)
                }
            };
            match written {
                Ok(0) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(taken) => {
                    freed = true;
                    self.written += taken as u64;
                    match all == Some(taken) {
                        true => self.clear_written(),
                        false => self.remove(taken),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Poll::Ready(Err(error)),
            }
        };
        (result, freed)
    }

    /// Returns the unwritten bytes if they are contiguous: small messages only, or a single shared
    /// one.
    fn contiguous(&self) -> Option<&[u8]> {
        if let (1, Some(Entry::Shared { frame, size, .. })) =
            (self.entries.len(), self.entries.front())
        {
            return (*size <= FRAGMENT).then(|| &frame[self.front_written..]);
        }
        let is_copied = |entry: &Entry| matches!(entry, Entry::Copied { .. });
        let start = self.copied_start + self.front_written;
        self.entries.iter().all(is_copied).then(|| &self.copied[start..])
    }

    /// Fills `slices` with the front of the queue and returns how many it used. Consecutive copied
    /// entries become one slice.
    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut parts = Parts { slices, count: 0, skip: self.front_written };
        let mut run = self.copied_start..self.copied_start;
        let mut fragment = self.fragment;
        for (at, entry) in self.entries.iter().enumerate() {
            if let Entry::Copied { length, .. } = entry {
                run.end += length;
                continue;
            }
            parts.push(&self.copied[run.clone()]);
            run.end += entry.copied();
            run.start = run.end;
            match (entry, entry.frame()) {
                (Entry::Control(_, frame), _) => parts.push(frame),
                (_, None) => {}
                // Control frames come right behind the current fragment; the other fragments follow
                // in a later call.
                (_, Some((frame, size))) if at == 0 && self.has_waiting_control() => {
                    parts.push_fragment(frame, size, fragment);
                    let controls = self.entries.iter().skip(1).take_while(|one| one.is_control());
                    for control in controls {
                        if let Entry::Control(_, frame) = control {
                            parts.push(frame);
                        }
                    }
                    return parts.count;
                }
                (_, Some((frame, size))) => {
                    let all = entry.fragments();
                    (fragment..all).for_each(|number| parts.push_fragment(frame, size, number));
                    fragment = 0;
                }
            }
            if parts.is_full() {
                return parts.count;
            }
        }
        parts.push(&self.copied[run]);
        parts.count
    }

    /// Whether a control frame has to be written between the fragments of the first entry, which is
    /// partly written.
    fn has_waiting_control(&self) -> bool {
        self.entries.front().is_some_and(|front| self.fragment + 1 < front.fragments())
            && self.entries.get(1).is_some_and(Entry::is_control)
    }

    /// Removes all entries, each of which is a copied or a shared message.
    fn clear_written(&mut self) {
        match self.entries.len() {
            // The common case, in fewer instructions.
            1 => drop(self.entries.pop_front()),
            _ => self.entries.clear(),
        }
        (self.messages, self.size) = (0, 0);
        (self.fragment, self.front_written) = (0, 0);
        self.copied_start = self.copied.len();
        self.release();
    }

    fn remove(&mut self, mut taken: usize) {
        taken += self.front_written;
        self.front_written = 0;
        while let Some(front) = self.entries.front() {
            let is_message = front.size().is_some();
            let length = front.fragment_len(if is_message { self.fragment } else { 0 });
            if taken < length {
                self.front_written = taken;
                break;
            }
            taken -= length;
            if is_message && self.fragment + 1 < front.fragments() {
                self.next_fragment();
                continue;
            }
            if let Entry::Copied { .. } = front {
                self.copied_start += length;
            }
            if let Some(entry) = self.pop_front() {
                self.uncount(&entry);
            }
            if is_message {
                self.fragment = 0;
            }
            self.trim();
        }
        self.release();
    }

    /// Releases memory, so that an idle connection keeps no buffer.
    pub(super) fn release(&mut self) {
        if self.copied_start == self.copied.len() {
            buffer::give_back(mem::take(&mut self.copied));
            self.copied_start = 0;
        } else if self.copied_start > self.copied.len() / 2 && self.copied_start > 4096 {
            self.copied.drain(..self.copied_start);
            self.copied_start = 0;
        }
        if self.entries.is_empty() {
            self.index = None;
            if self.entries.capacity() > MAX_IDLE_ENTRIES {
                self.entries = VecDeque::new();
            }
        }
    }
}

/// The parts of one write.
struct Parts<'s, 'a> {
    slices: &'s mut [IoSlice<'a>; MAX_SLICES],
    count: usize,
    /// Bytes at the front that are already written.
    skip: usize,
}

impl<'a> Parts<'_, 'a> {
    fn is_full(&self) -> bool {
        self.count == MAX_SLICES
    }

    /// Adds a part. If there are too many, this part and all later ones are left out.
    fn push(&mut self, part: &'a [u8]) {
        let skipped = self.skip.min(part.len());
        self.skip -= skipped;
        if skipped < part.len() && !self.is_full() {
            self.slices[self.count] = IoSlice::new(&part[skipped..]);
            self.count += 1;
        }
    }

    fn push_fragment(&mut self, frame: &'a [u8], size: usize, number: u32) {
        let (header, payload) = fragment(frame, size, number);
        self.push(header);
        self.push(payload);
    }
}
