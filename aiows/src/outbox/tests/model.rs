//! A model of the queue that only knows whole frames.

use std::collections::VecDeque;

use super::super::Outbound;
use super::{MAX_SIZE, MessageKind};
use crate::limits::Overflow;

/// One frame as it is written: a control frame, or a fragment of a message.
struct Frame {
    bytes: Vec<u8>,
    /// The bytes of payload of the whole message; `None` for a control frame.
    size: Option<usize>,
    is_first: bool,
    is_last: bool,
    kind: MessageKind,
    /// An answer with its key stands behind it.
    is_overtaken: bool,
}

#[derive(Default)]
pub(super) struct Model {
    policy: Overflow,
    max_messages: usize,
    frames: VecDeque<Frame>,
    /// The bytes of the first frame that are written.
    begun: usize,
    queued: u64,
    sent: u64,
    dropped: u64,
    replaced: u64,
    peak: u64,
    written: u64,
}

/// Encodes a frame of a server. Source: RFC 6455 section 5.2.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(short as u8),
        medium @ ..65_536 => {
            bytes.push(126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// Splits a message into frames of at most 64 KiB of payload, all of full length but the first.
fn fragments(payload: &[u8], kind: MessageKind) -> Vec<Frame> {
    let mut rest = payload;
    let mut frames = Vec::new();
    loop {
        let length = match rest.len() % 65_536 {
            0 => rest.len().min(65_536),
            odd => odd,
        };
        let (is_first, is_last) = (frames.is_empty(), length == rest.len());
        let opcode = if is_first { 0x01 } else { 0x00 } | if is_last { 0x80 } else { 0x00 };
        let bytes = frame(opcode, &rest[..length]);
        let size = Some(payload.len());
        frames.push(Frame { bytes, size, is_first, is_last, kind, is_overtaken: false });
        rest = &rest[length..];
        if is_last {
            return frames;
        }
    }
}

impl Model {
    pub(super) fn new(policy: Overflow, max_messages: usize) -> Self {
        Self { policy, max_messages, ..Self::default() }
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().filter(|frame| frame.is_last).filter_map(|frame| frame.size)
    }

    pub(super) fn has_room(&self, size: usize) -> bool {
        let (messages, sum) = (self.sizes().count(), self.sizes().sum::<usize>());
        messages == 0 || (messages < self.max_messages && sum + size <= MAX_SIZE)
    }

    /// Returns the positions of the messages that are not partly written.
    fn unsent(&self) -> Vec<usize> {
        let begun = usize::from(self.begun > 0);
        (begun..self.frames.len())
            .filter(|at| self.frames[*at].size.is_some() && self.frames[*at].is_first)
            .collect()
    }

    /// Removes a message that is not partly written, so that no control frames stand within it.
    fn remove(&mut self, at: usize) {
        while !self.frames[at].is_last {
            self.frames.remove(at);
        }
        self.frames.remove(at);
    }

    fn lose(&mut self, at: usize) {
        self.remove(at);
        self.dropped += 1;
    }

    /// Returns the unsent messages that the policy of a new message may drop.
    fn droppable(&self, kind: MessageKind) -> Vec<usize> {
        let mine = |at: &usize| match (kind, self.frames[*at].kind) {
            (MessageKind::Own(kind), MessageKind::Own(other)) => kind == other,
            (MessageKind::Own(_), _) => false,
            (_, other) => matches!(other, MessageKind::Plain | MessageKind::Latest(_)),
        };
        self.unsent().into_iter().filter(mine).collect()
    }

    fn insert(&mut self, at: usize, new: Vec<Frame>) {
        for (offset, frame) in new.into_iter().enumerate() {
            self.frames.insert(at + offset, frame);
        }
    }

    fn append(&mut self, new: Vec<Frame>) {
        if let MessageKind::Kept(Some(key)) = new[0].kind {
            for frame in &mut self.frames {
                frame.is_overtaken |= frame.kind == MessageKind::Latest(key);
            }
        }
        self.frames.extend(new);
        self.queued += 1;
        self.peak = self.peak.max(self.sizes().count() as u64);
    }

    /// Returns whether the sender gets `Ok`.
    pub(super) fn push(&mut self, payload: &[u8], kind: MessageKind) -> bool {
        let size = payload.len();
        let new = fragments(payload, kind);
        let is_latest = matches!(kind, MessageKind::Latest(_));
        let earlier =
            self.unsent().into_iter().find(|at| is_latest && self.frames[*at].kind == kind);
        if let Some(at) = earlier {
            let before = self.frames[at].size.unwrap();
            let sum = self.sizes().sum::<usize>() - before + size;
            if size <= before || sum <= MAX_SIZE || self.sizes().count() == 1 {
                let is_overtaken = self.frames[at].is_overtaken;
                self.lose(at);
                self.replaced += 1;
                match is_overtaken {
                    true => self.append(new),
                    false => {
                        self.insert(at, new);
                        self.queued += 1;
                    }
                }
                return true;
            }
        }
        if !self.has_room(size) {
            let policy =
                if let MessageKind::Own(_) = kind { Overflow::DropOldest } else { self.policy };
            let is_kept = matches!(kind, MessageKind::Kept(_));
            match policy {
                Overflow::DropOldest if self.can_make_room(kind, size) => {
                    if let Some(at) = earlier {
                        self.lose(at);
                        self.replaced += 1;
                    }
                    while !self.has_room(size)
                        && let Some(oldest) = self.droppable(kind).first().copied()
                    {
                        self.lose(oldest);
                    }
                }
                Overflow::DropNewest | Overflow::DropOldest if !is_kept => {
                    self.queued += 1;
                    self.dropped += 1;
                    return true;
                }
                _ => return false,
            }
        }
        self.append(new);
        true
    }

    /// Appends an answer, even if the queue is full.
    pub(super) fn answer(&mut self, payload: &[u8], key: Option<usize>) {
        self.append(fragments(payload, MessageKind::Kept(key)));
    }

    fn can_make_room(&self, kind: MessageKind, size: usize) -> bool {
        let droppable = self.droppable(kind);
        let bytes: usize = droppable.iter().map(|at| self.frames[*at].size.unwrap()).sum();
        let messages = self.sizes().count() - droppable.len();
        let is_only_begun = messages == self.sizes().count() - self.unsent().len();
        let rest = self.sizes().sum::<usize>() - bytes;
        is_only_begun || (messages < self.max_messages && rest + size <= MAX_SIZE)
    }

    pub(super) fn ping(&mut self) {
        let begun = usize::from(self.begun > 0);
        let controls = self.frames.iter().skip(begun).take_while(|frame| frame.size.is_none());
        let at = begun + controls.count();
        let bytes = frame(0x89, b"");
        let (size, kind, is_overtaken) = (None, MessageKind::Plain, false);
        let ping = Frame { bytes, size, is_first: true, is_last: true, kind, is_overtaken };
        self.frames.insert(at, ping);
    }

    /// Returns the bytes that a socket with room for `room` bytes takes.
    pub(super) fn write(&mut self, mut room: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while room > 0
            && let Some(front) = self.frames.front()
        {
            let part = &front.bytes[self.begun..];
            let taken = part.len().min(room);
            bytes.extend(&part[..taken]);
            (room, self.begun) = (room - taken, self.begun + taken);
            if self.begun == front.bytes.len() {
                self.begun = 0;
                self.sent += u64::from(front.size.is_some() && front.is_last);
                self.frames.pop_front();
            }
        }
        self.written += bytes.len() as u64;
        bytes
    }

    /// Whether the partly written message has further fragments, so that it could be cut.
    pub(super) fn is_within_message(&self) -> bool {
        let mut messages = self.frames.iter().filter(|frame| frame.size.is_some());
        messages.next().is_some_and(|first| {
            let is_front = self.frames[0].size.is_some() && self.begun > 0;
            (is_front || !first.is_first) && !first.is_last
        })
    }

    pub(super) fn discard_unsent(&mut self) {
        while let Some(at) = self.unsent().last().copied() {
            self.lose(at);
        }
    }

    pub(super) fn outbound(&self) -> Outbound {
        let pending = self.sizes().count() as u64;
        assert_eq!(self.queued, self.sent + self.dropped + pending);
        Outbound {
            queued: self.queued,
            sent: self.sent,
            dropped: self.dropped,
            replaced: self.replaced,
            pending,
            pending_bytes: self.sizes().sum::<usize>() as u64,
            peak: self.peak,
            written: self.written,
        }
    }
}
