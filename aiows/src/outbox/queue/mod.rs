//! The frames that wait, in the order in which they are written, and their counts.

mod coalesce; // messages that a newer one with the same key replaces
mod evict; // messages that are removed without being sent
mod fragments; // messages of several frames
#[cfg(test)]
mod tests;
mod write; // writing, and removing the written entries

use std::collections::VecDeque;

use bytes::Bytes;

use self::coalesce::Index;
use super::totals::Outbound;
use crate::codec::buffer;
use crate::limits::{Class, CoalesceKey};

/// The most pongs that wait. If a peer sends more pings than this without reading, the oldest pongs
/// are dropped.
const MAX_PONGS: usize = 16;

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    /// The bytes of all `Copied` entries, in order, behind `copied_start` bytes that are no longer
    /// used.
    copied: Vec<u8>,
    copied_start: usize,
    /// The bytes of the first entry that are written, or of its current fragment if it has several.
    front_written: usize,
    /// The number of completely written fragments of the first message. Control frames may stand
    /// before it.
    fragment: u32,
    /// Messages that wait, including one that is partly written.
    messages: u32,
    /// The most messages that have waited at once.
    peak: u32,
    /// The number of `Latest` entries.
    latest: u32,
    /// The positions of `Latest` entries by key, if the queue is long enough to need it.
    index: Option<Box<Index>>,
    size: usize,
    /// The bytes written so far.
    written: u64,
    counts: Counts,
}

/// Counts of messages so far. Those that are neither dropped nor waiting are sent.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    queued: u64,
    dropped: u64,
    replaced: u64,
}

#[derive(Debug)]
enum Entry {
    /// A message with `size` bytes of payload. Its frame is the next `length` bytes of `copied`.
    Copied { length: usize, size: usize, class: Class },
    /// A control frame, which does not count towards the limits.
    Control(Control, Bytes),
    /// The position of a removed message, and its `length` bytes of `copied`. Never the first or
    /// last entry.
    Removed { length: usize },
    /// A message that a newer one with its key replaces; boxed so that entries stay small.
    Latest(Box<Latest>),
    /// A message that may be shared with other queues: its first fragment, and the payload of the
    /// others.
    Shared { frame: Bytes, size: usize, class: Class },
}

/// The kind of a control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// Stands behind whole messages only.
    Close,
    /// At most `MAX_PONGS` of them are unwritten.
    Pong,
    Other,
}

#[derive(Debug)]
struct Latest {
    key: CoalesceKey,
    frame: Bytes,
    size: usize,
    recency: Recency,
}

// Checked because every connection has a queue, and an idle one keeps room for a few entries.
const _: () = assert!(size_of::<Entry>() <= 48 && size_of::<Queue>() <= 136);

/// Whether the next message with the key may take the position of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recency {
    /// No other message with the key stands behind it.
    Newest,
    /// An answer or a request with the key stands behind it.
    Overtaken,
}

impl Entry {
    fn len(&self) -> usize {
        match self {
            Self::Copied { length, .. } => *length,
            Self::Control(_, frame) | Self::Shared { frame, .. } => frame.len(),
            Self::Latest(latest) => latest.frame.len(),
            Self::Removed { .. } => 0,
        }
    }

    /// Returns the number of its bytes in `copied`.
    fn copied(&self) -> usize {
        match self {
            Self::Copied { length, .. } | Self::Removed { length } => *length,
            Self::Control(..) | Self::Latest(_) | Self::Shared { .. } => 0,
        }
    }

    /// Returns the class of policies that may drop it; `None` if it is not a message.
    fn class(&self) -> Option<Class> {
        match self {
            Self::Copied { class, .. } | Self::Shared { class, .. } => Some(*class),
            Self::Latest(_) => Some(Class::Server),
            Self::Control(..) | Self::Removed { .. } => None,
        }
    }

    /// Returns the frame of a message with a buffer of its own, and its bytes of payload.
    fn frame(&self) -> Option<(&Bytes, usize)> {
        match self {
            Self::Shared { frame, size, .. } => Some((frame, *size)),
            Self::Latest(latest) => Some((&latest.frame, latest.size)),
            Self::Control(..) | Self::Copied { .. } | Self::Removed { .. } => None,
        }
    }

    /// Returns the bytes of payload; `None` if it is not a message.
    fn size(&self) -> Option<usize> {
        match self {
            Self::Copied { size, .. } | Self::Shared { size, .. } => Some(*size),
            Self::Latest(latest) => Some(latest.size),
            Self::Control(..) | Self::Removed { .. } => None,
        }
    }

    /// Whether it may be written between the fragments of a message.
    fn is_control(&self) -> bool {
        matches!(self, Self::Control(Control::Pong | Control::Other, _))
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of messages that wait.
    pub(super) fn messages(&self) -> usize {
        self.messages as usize
    }

    /// Returns the bytes of payload that wait.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether a message with `size` bytes fits. An empty queue has room for any message.
    pub(super) fn has_room(&self, size: usize, max_messages: usize, max_size: usize) -> bool {
        self.messages == 0 || (self.messages() < max_messages && self.size + size <= max_size)
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn outbound(&self) -> Outbound {
        let Counts { queued, dropped, replaced } = self.counts;
        let pending = self.messages.into();
        Outbound {
            queued,
            sent: queued - dropped - pending,
            dropped,
            replaced,
            pending,
            pending_bytes: self.size as u64,
            peak: self.peak.into(),
            written: self.written,
        }
    }

    pub(super) fn push_copy(&mut self, frame: &[u8], size: usize, class: Class) {
        if self.copied.capacity() == 0 {
            self.copied = buffer::take();
        }
        self.copied.extend_from_slice(frame);
        self.entries.push_back(Entry::Copied { length: frame.len(), size, class });
        self.count(size);
    }

    pub(super) fn push_shared(&mut self, frame: Bytes, size: usize, class: Class) {
        self.entries.push_back(Entry::Shared { frame, size, class });
        self.count(size);
    }

    fn count(&mut self, size: usize) {
        self.messages += 1;
        self.size += size;
        self.counts.queued += 1;
        self.peak = self.peak.max(self.messages);
    }

    /// Updates the counts for an entry that was removed.
    fn uncount(&mut self, entry: &Entry) {
        let Some(size) = entry.size() else { return };
        self.messages -= 1;
        self.size -= size;
        if let Entry::Latest(latest) = entry {
            self.latest -= 1;
            self.forget(latest.key);
        }
    }

    fn pop_front(&mut self) -> Option<Entry> {
        if let Some(index) = &mut self.index {
            index.note_removed();
        }
        self.entries.pop_front()
    }

    /// Queues a control frame ahead of every message that is not partly written.
    pub(super) fn push_control(&mut self, frame: Bytes) {
        self.insert_control(Control::Other, frame);
    }

    fn insert_control(&mut self, kind: Control, frame: Bytes) {
        let first = self.control_position();
        self.entries.insert(first, Entry::Control(kind, frame));
        if let Some(index) = &mut self.index {
            index.note_inserted();
        }
    }

    /// Queues the close frame behind all other entries.
    pub(super) fn push_last(&mut self, frame: Bytes) {
        self.entries.push_back(Entry::Control(Control::Close, frame));
    }

    /// Queues a pong, in place of the oldest one if many wait. RFC 6455 section 5.5.3 requires only
    /// the newest.
    pub(super) fn push_pong(&mut self, frame: Bytes) {
        let begun = self.partly_written();
        let controls = self.entries.iter().enumerate().skip(begun);
        let mut pongs = controls
            .take_while(|(_, entry)| entry.is_control())
            .filter(|(_, entry)| matches!(entry, Entry::Control(Control::Pong, _)))
            .map(|(at, _)| at);
        if let Some(oldest) = pongs.next()
            && pongs.count() + 1 >= MAX_PONGS
        {
            self.entries.remove(oldest);
            if let Some(index) = &mut self.index {
                index.note_removed();
            }
        }
        self.insert_control(Control::Pong, frame);
    }

    /// Returns the number of partly written entries: 0 or 1.
    fn partly_written(&self) -> usize {
        usize::from(self.front_written > 0)
    }

    /// Whether a message is partly written.
    fn has_partial_message(&self) -> bool {
        let first = self.entries.front();
        self.fragment > 0
            || (self.front_written > 0 && first.is_some_and(|first| first.size().is_some()))
    }

    /// Returns the position for the next control frame: behind the frame that is partly written and
    /// the control frames that follow it.
    fn control_position(&self) -> usize {
        let begun = self.partly_written();
        begun + self.entries.iter().skip(begun).take_while(|entry| entry.is_control()).count()
    }
}
