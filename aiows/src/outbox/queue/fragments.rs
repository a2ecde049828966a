//! Messages of several frames, and the control frames that may come between these.

use bytes::Bytes;

use super::{Control, Entry, Queue};
use crate::protocol::{FRAGMENT, LAST_FRAGMENT, NEXT_FRAGMENT, first_fragment};

impl Entry {
    /// Returns the number of frames that the entry has on the wire.
    pub(super) fn fragments(&self) -> u32 {
        let count = self.size().map_or(1, |size| size.div_ceil(FRAGMENT).max(1));
        // 2^32 fragments are 256 TiB, which no memory holds.
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Returns the bytes of one of its frames, header included.
    pub(super) fn fragment_len(&self, number: u32) -> usize {
        match self.size() {
            Some(size) if size > FRAGMENT => {
                let first = self.len() - size + first_fragment(size);
                if number == 0 { first } else { NEXT_FRAGMENT.len() + FRAGMENT }
            }
            _ => self.len(),
        }
    }
}

/// Returns the header and the payload of one fragment of a message. The first fragment stands at
/// the start of `frame`.
///
/// Only the first fragment has its header in front of its payload; the others share constant
/// headers.
pub(super) fn fragment(frame: &[u8], size: usize, number: u32) -> (&'static [u8], &[u8]) {
    let rest = size - first_fragment(size);
    let first = frame.len() - rest;
    if number == 0 {
        return (&[], &frame[..first]);
    }
    let start = first + (number as usize - 1) * FRAGMENT;
    let header = if start + FRAGMENT == frame.len() { LAST_FRAGMENT } else { NEXT_FRAGMENT };
    (header, &frame[start..start + FRAGMENT])
}

impl Queue {
    /// Returns the position of the partly written message. Control frames that are written between
    /// its fragments may stand before it.
    fn partial_message(&self) -> Option<usize> {
        let at = self.entries.iter().position(|entry| !entry.is_control())?;
        let is_begun = self.fragment > 0 || (at == 0 && self.front_written > 0);
        is_begun.then_some(at)
    }

    /// Returns the position of the first entry, control frame or message, that is not partly
    /// written.
    pub(super) fn first_unwritten(&self) -> usize {
        if self.fragment == 0 {
            return self.partly_written();
        }
        self.partial_message().map_or(0, |at| at + 1)
    }

    /// Moves on to the next fragment of the first entry, behind the control frames that wait for
    /// this gap.
    pub(super) fn next_fragment(&mut self) {
        self.fragment += 1;
        let mut at = 0;
        while self.entries.get(at + 1).is_some_and(Entry::is_control) {
            self.entries.swap(at, at + 1);
            at += 1;
        }
    }

    /// Drops the unwritten fragments of a partly written message; `false` if there are none. Only
    /// control frames may follow then.
    pub(in super::super) fn cut_partial(&mut self) -> bool {
        let Some(at) = self.partial_message() else { return false };
        let Some(entry) = self.entries.get(at) else { return false };
        if self.fragment + 1 >= entry.fragments() {
            return false;
        }
        let Some(entry) = self.entries.remove(at) else { return false };
        // No message can be replaced behind it.
        self.index = None;
        self.uncount(&entry);
        self.counts.dropped += 1;
        if at == 0 && self.front_written > 0 {
            self.keep_fragment(&entry);
        }
        self.fragment = 0;
        true
    }

    /// Keeps the partly written fragment as a control entry, which no policy drops.
    fn keep_fragment(&mut self, entry: &Entry) {
        let Some((frame, size)) = entry.frame() else { return };
        let (header, payload) = fragment(frame, size, self.fragment);
        self.entries.push_front(Entry::Control(Control::Other, frame.slice_ref(payload)));
        if self.front_written < header.len() {
            self.entries.push_front(Entry::Control(Control::Other, Bytes::from_static(header)));
        } else {
            self.front_written -= header.len();
        }
    }
}
