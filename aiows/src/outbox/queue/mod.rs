//! Frames in the order they are written, and how many there were.

mod coalesce;
mod evict;
mod fragments;
mod write;

use std::collections::VecDeque;

use bytes::Bytes;

use self::coalesce::Index;
use crate::codec::buffer;
use crate::limits::{Class, CoalesceKey};

/// Pongs that wait. A peer that sends more pings than this without reading loses the oldest.
const MAX_PONGS: usize = 16;

/// Frames in the order they are written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// The bytes of all `Copied` entries, in order, behind `copied_start` used up ones.
    copied: Vec<u8>,
    copied_start: usize,
    /// How much of the first entry is written, or of its fragment if it has several.
    front_written: usize,
    /// How many fragments of the first message are written. Control frames may stand before it.
    fragment: u32,
    messages: u32,
    /// Most messages that have waited at once.
    peak: u32,
    /// How many of the entries are `Latest`.
    latest: u32,
    index: Option<Box<Index>>,
    size: usize,
    written: u64,
    counts: Counts,
}

/// What became of the messages so far; all others are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) queued: u64,
    pub(super) dropped: u64,
    pub(super) replaced: u64,
}

#[derive(Debug)]
enum Entry {
    /// The next `length` bytes of `copied`: a message with `size` bytes of payload.
    Copied { length: usize, size: usize, class: Class },
    /// The close frame: it follows whole messages only.
    Close(Bytes),
    /// A frame that stands outside of the bounds.
    Control(Bytes),
    /// The place of a message that was removed, and its `length` bytes of `copied`; never at an end.
    Gone { length: usize },
    /// A message that a newer one with its key replaces; apart, so that entries stay small.
    Latest(Box<Latest>),
    /// A pong; at most `MAX_PONGS` are not begun.
    Pong(Bytes),
    /// A message that may be shared with other queues: the first fragment and the payload of the
    /// others.
    Shared { frame: Bytes, size: usize, class: Class },
}

#[derive(Debug)]
struct Latest {
    key: CoalesceKey,
    frame: Bytes,
    size: usize,
    recency: Recency,
}

// Every connection has a queue, and an idle one keeps room for a few entries.
const _: () = assert!(size_of::<Entry>() <= 48 && size_of::<Queue>() <= 136);

/// Whether the next message with a key may stand where this one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recency {
    /// Nothing with the key stands behind it.
    Newest,
    /// An answer or a question with the key stands behind it.
    Overtaken,
}

impl Entry {
    fn len(&self) -> usize {
        match self {
            Self::Copied { length, .. } => *length,
            Self::Close(frame)
            | Self::Control(frame)
            | Self::Pong(frame)
            | Self::Shared { frame, .. } => frame.len(),
            Self::Latest(latest) => latest.frame.len(),
            Self::Gone { .. } => 0,
        }
    }

    /// The bytes it has in the run of copies.
    fn copied(&self) -> usize {
        match self {
            Self::Copied { length, .. } | Self::Gone { length } => *length,
            _ => 0,
        }
    }

    /// Who may drop it; `None` for what is no message.
    fn class(&self) -> Option<Class> {
        match self {
            Self::Copied { class, .. } | Self::Shared { class, .. } => Some(*class),
            Self::Latest(_) => Some(Class::Server),
            Self::Close(_) | Self::Control(_) | Self::Gone { .. } | Self::Pong(_) => None,
        }
    }

    /// The frame of a message that lies for itself, and its bytes of payload.
    fn frame(&self) -> Option<(&Bytes, usize)> {
        match self {
            Self::Shared { frame, size, .. } => Some((frame, *size)),
            Self::Latest(latest) => Some((&latest.frame, latest.size)),
            Self::Close(_)
            | Self::Control(_)
            | Self::Copied { .. }
            | Self::Gone { .. }
            | Self::Pong(_) => None,
        }
    }

    /// Bytes of payload; `None` for what is no message.
    fn size(&self) -> Option<usize> {
        match self {
            Self::Copied { size, .. } | Self::Shared { size, .. } => Some(*size),
            Self::Latest(latest) => Some(latest.size),
            Self::Close(_) | Self::Control(_) | Self::Gone { .. } | Self::Pong(_) => None,
        }
    }

    /// The whole frame of what is no message.
    fn control_frame(&self) -> &[u8] {
        match self {
            Self::Close(frame) | Self::Control(frame) | Self::Pong(frame) => frame,
            Self::Copied { .. } | Self::Gone { .. } | Self::Latest(_) | Self::Shared { .. } => &[],
        }
    }

    /// Whether it may pass between the fragments of a message.
    fn is_control(&self) -> bool {
        matches!(self, Self::Control(_) | Self::Pong(_))
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Messages that wait.
    pub(super) fn messages(&self) -> usize {
        self.messages as usize
    }

    /// Most messages that have waited at once.
    pub(super) fn peak(&self) -> u32 {
        self.peak
    }

    /// Bytes of payload that wait.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// An empty queue has room for any message.
    pub(super) fn has_room(&self, size: usize, max_messages: usize, max_size: usize) -> bool {
        self.messages == 0 || (self.messages() < max_messages && self.size + size <= max_size)
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
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

    /// Notes that an entry is gone.
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

    /// Queues a control frame ahead of every message that is not begun.
    pub(super) fn push_control(&mut self, frame: Bytes) {
        self.insert_control(Entry::Control(frame));
    }

    fn insert_control(&mut self, entry: Entry) {
        let first = self.first_unsent();
        self.entries.insert(first, entry);
        if let Some(index) = &mut self.index {
            index.note_inserted();
        }
    }

    /// Queues the close frame, behind everything.
    pub(super) fn push_last(&mut self, frame: Bytes) {
        self.entries.push_back(Entry::Close(frame));
    }

    /// Queues a pong, in place of the oldest when many are not begun. Source: RFC 6455 section 5.5.3,
    /// which asks for the newest only.
    pub(super) fn push_pong(&mut self, frame: Bytes) {
        let begun = self.begun();
        let controls = self.entries.iter().enumerate().skip(begun);
        let mut pongs = controls
            .take_while(|(_, entry)| entry.is_control())
            .filter(|(_, entry)| matches!(entry, Entry::Pong(_)))
            .map(|(at, _)| at);
        if let Some(oldest) = pongs.next()
            && pongs.count() + 1 >= MAX_PONGS
        {
            self.entries.remove(oldest);
            if let Some(index) = &mut self.index {
                index.note_removed();
            }
        }
        self.insert_control(Entry::Pong(frame));
    }

    /// How many entries are partly written: none or one.
    fn begun(&self) -> usize {
        usize::from(self.front_written > 0)
    }

    /// Whether a message is begun and waits to be written whole.
    fn has_begun_message(&self) -> bool {
        let first = self.entries.front();
        self.fragment > 0
            || (self.front_written > 0 && first.is_some_and(|first| first.size().is_some()))
    }

    /// Where the first message stands of which no further frame is begun, or would stand.
    fn first_unsent(&self) -> usize {
        let begun = self.begun();
        begun + self.entries.iter().skip(begun).take_while(|entry| entry.is_control()).count()
    }
}
