use std::collections::VecDeque;

use super::saved::Saved;
use crate::limits::Limits;
use crate::protocol::{DecodeLimit, Inbound};

/// Messages that are decoded at a time while a question is open: each is packed before the next ones.
const BATCH: usize = 64;

/// The accepted messages of one connection, in the order in which they arrived.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The first ones; empty only if there are no others.
    messages: VecDeque<Inbound>,
    /// Bytes of all messages.
    size: usize,
    /// Set while the server waits for an answer of the client, and while messages wait that were read
    /// meanwhile.
    requests: Option<Box<Requests>>,
}

/// Requests to the client, and what it has sent before it answered.
#[derive(Debug)]
struct Requests {
    are_open: bool,
    /// While they are open, fewer bytes than this may wait.
    bound: usize,
    /// The messages behind the first ones.
    saved: Saved,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many messages are not packed.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn pop(&mut self) -> Option<Inbound> {
        let message = self.messages.pop_front()?;
        self.size -= message.bytes().len();
        if self.requests.is_some() {
            self.unpack();
        }
        if message.is_large() && self.messages.is_empty() {
            // What was allocated beside a large buffer and stays keeps the allocator from giving
            // that memory back.
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    #[cold]
    fn unpack(&mut self) {
        let Some(requests) = &mut self.requests else { return };
        self.messages.extend(requests.saved.pop());
        if requests.saved.is_empty() && !requests.are_open {
            self.requests = None;
        }
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.size = 0;
        self.requests = None;
    }

    /// How much more may be decoded; `None` if nothing.
    pub(super) fn room(&self, limits: &Limits) -> Option<DecodeLimit> {
        if let Some(requests) = &self.requests {
            return self.room_beside(requests, limits);
        }
        let messages = limits.inbound_messages.checked_sub(self.messages.len())?;
        let bytes = limits.inbound_size.checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(DecodeLimit { messages, bytes })
    }

    #[cold]
    fn room_beside(&self, requests: &Requests, limits: &Limits) -> Option<DecodeLimit> {
        let (messages, bound) = match requests.are_open {
            true if requests.saved.has_room(limits) => (BATCH, requests.bound),
            // What is saved is handled first.
            _ => (0, limits.inbound_size),
        };
        let bytes = bound.checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(DecodeLimit { messages, bytes })
    }

    /// Notes whether the server waits for an answer; `true` if it does and did not before.
    #[inline]
    pub(super) fn note_requests(&mut self, awaits_answer: bool, limits: &Limits) -> bool {
        // The common case, in few instructions.
        if !awaits_answer && self.requests.is_none() {
            return false;
        }
        self.change_requests(awaits_answer, limits)
    }

    #[cold]
    fn change_requests(&mut self, awaits_answer: bool, limits: &Limits) -> bool {
        let bound = self.bound(limits);
        let requests = self.requests.get_or_insert_with(|| {
            Box::new(Requests { are_open: false, bound, saved: Saved::default() })
        });
        let begins = awaits_answer && !requests.are_open;
        if begins {
            requests.bound = bound;
        }
        requests.are_open = awaits_answer;
        if !awaits_answer && requests.saved.is_empty() {
            self.requests = None;
        }
        begins
    }

    /// The size at which no more is decoded: as much again may wait as without a question, and never more
    /// than twice as much.
    fn bound(&self, limits: &Limits) -> usize {
        let may_wait = self.size.min(limits.inbound_size).saturating_add(limits.inbound_size);
        may_wait.saturating_add(1)
    }

    pub(super) fn has_requests(&self) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.are_open)
    }

    /// The queue that decoded messages are appended to; [`accept`](Self::accept) counts them.
    pub(super) fn decoded(&mut self) -> &mut VecDeque<Inbound> {
        &mut self.messages
    }

    /// Whether there is a large message behind the first `known`.
    pub(super) fn has_large(&self, known: usize) -> bool {
        self.messages.range(known..).any(Inbound::is_large)
    }

    /// Takes back the messages behind the first `known`.
    pub(super) fn split_off(&mut self, known: usize) -> VecDeque<Inbound> {
        self.messages.split_off(known)
    }

    /// Counts the messages behind the first `known`.
    #[inline]
    pub(super) fn accept(&mut self, known: usize, limits: &Limits) {
        let size = |message: &Inbound| message.bytes().len();
        self.size += self.messages.range(known..).map(size).sum::<usize>();
        if self.requests.is_some() {
            self.pack(known, limits);
        }
    }

    #[cold]
    fn pack(&mut self, known: usize, limits: &Limits) {
        let Some(requests) = &mut self.requests else { return };
        let first = match requests.saved.is_empty() {
            true => known.max(limits.inbound_messages.min(self.messages.len())),
            false => known,
        };
        requests.saved.extend(self.messages.drain(first..));
    }
}
