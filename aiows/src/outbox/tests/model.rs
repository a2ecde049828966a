//! A queue that only knows whole frames.

use std::collections::VecDeque;

use super::super::Outbound;
use super::{MAX_MESSAGES, MAX_SIZE};
use crate::overflow::Overflow;

/// One frame as it will stand on the wire.
struct Frame {
    bytes: Vec<u8>,
    /// Bytes of payload; `None` for a control frame.
    size: Option<usize>,
    key: Option<usize>,
}

#[derive(Default)]
pub(super) struct Model {
    policy: Overflow,
    frames: VecDeque<Frame>,
    /// How much of the first frame is written.
    begun: usize,
    queued: u64,
    sent: u64,
    dropped: u64,
    replaced: u64,
    peak: u64,
    written: u64,
}

/// A frame of a server. Source: RFC 6455 section 5.2.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(short as u8),
        long => {
            bytes.push(126);
            bytes.extend((long as u16).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

impl Model {
    pub(super) fn new(policy: Overflow) -> Self {
        Self { policy, ..Self::default() }
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().filter_map(|frame| frame.size)
    }

    pub(super) fn has_room(&self, size: usize) -> bool {
        let (messages, sum) = (self.sizes().count(), self.sizes().sum::<usize>());
        messages == 0 || (messages < MAX_MESSAGES && sum + size <= MAX_SIZE)
    }

    /// The messages that are not begun.
    fn unsent(&self) -> Vec<usize> {
        let begun = usize::from(self.begun > 0);
        (begun..self.frames.len()).filter(|at| self.frames[*at].size.is_some()).collect()
    }

    fn lose(&mut self, at: usize) {
        self.frames.remove(at);
        self.dropped += 1;
    }

    /// Whether the sender is told `Ok`.
    pub(super) fn push(&mut self, payload: &[u8], key: Option<usize>) -> bool {
        let size = payload.len();
        let new = Frame { bytes: frame(0x81, payload), size: Some(size), key };
        let earlier =
            self.unsent().into_iter().find(|at| key.is_some() && self.frames[*at].key == key);
        if let Some(at) = earlier {
            let before = self.frames[at].size.unwrap();
            let sum = self.sizes().sum::<usize>() - before + size;
            if size <= before || sum <= MAX_SIZE || self.sizes().count() == 1 {
                self.frames[at] = new;
                self.queued += 1;
                self.dropped += 1;
                self.replaced += 1;
                return true;
            }
        }
        if !self.has_room(size) {
            match self.policy {
                Overflow::Disconnect | Overflow::Reject => return false,
                Overflow::DropNewest => {
                    self.queued += 1;
                    self.dropped += 1;
                    return true;
                }
                Overflow::DropOldest => {
                    if let Some(at) = earlier {
                        self.lose(at);
                        self.replaced += 1;
                    }
                    while !self.has_room(size)
                        && let Some(oldest) = self.unsent().first().copied()
                    {
                        self.lose(oldest);
                    }
                }
            }
        }
        self.frames.push_back(new);
        self.queued += 1;
        self.peak = self.peak.max(self.sizes().count() as u64);
        true
    }

    pub(super) fn ping(&mut self) {
        let begun = usize::from(self.begun > 0);
        let controls = self.frames.iter().skip(begun).take_while(|frame| frame.size.is_none());
        let at = begun + controls.count();
        self.frames.insert(at, Frame { bytes: frame(0x89, b""), size: None, key: None });
    }

    /// The bytes a socket takes that has room for this many.
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
                self.sent += u64::from(front.size.is_some());
                self.frames.pop_front();
            }
        }
        self.written += bytes.len() as u64;
        bytes
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
