//! The accepted messages that wait for their handlers, and how many more may be decoded.

use std::collections::VecDeque;

use super::packed::PackedMessages;
use crate::limits::Limits;
use crate::protocol::{DecodeLimit, Inbound};

/// The number of messages that are decoded at a time while a request is pending. Each batch is
/// packed before the next one is decoded.
const BATCH: usize = 64;

/// The accepted messages of one connection, in the order in which they arrived.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The first messages; empty only if there are no others.
    messages: VecDeque<Inbound>,
    /// The bytes of all messages.
    size: usize,
    /// Set while a request to the client waits for its answer, and as long as messages that arrived
    /// in that time wait.
    requests: Option<Box<OpenRequests>>,
}

/// The messages that a client has sent while it had a request to answer.
#[derive(Debug)]
struct OpenRequests {
    /// Whether a request still waits for its answer.
    are_open: bool,
    /// While a request is pending, fewer bytes than this may wait.
    bound: usize,
    /// The messages behind the first ones, in a compact form.
    packed: PackedMessages,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the number of messages that are not packed.
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
            // A small allocation next to a large buffer that stays in use keeps the allocator from
            // returning that memory.
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    #[cold]
    fn unpack(&mut self) {
        let Some(requests) = &mut self.requests else { return };
        self.messages.extend(requests.packed.pop());
        if requests.packed.is_empty() && !requests.are_open {
            self.requests = None;
        }
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.size = 0;
        self.requests = None;
    }

    /// Returns how much more may be decoded; `None` if the queue is full.
    pub(super) fn room(&self, limits: &Limits) -> Option<DecodeLimit> {
        if let Some(requests) = &self.requests {
            return self.room_with_requests(requests, limits);
        }
        let messages = limits.inbound_messages.checked_sub(self.messages.len())?;
        let bytes = limits.inbound_size.checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(DecodeLimit { messages, bytes })
    }

    #[cold]
    fn room_with_requests(&self, requests: &OpenRequests, limits: &Limits) -> Option<DecodeLimit> {
        let (messages, bound) = match requests.are_open {
            true if requests.packed.has_room(limits) => (BATCH, requests.bound),
            // The packed messages are handled first.
            _ => (0, limits.inbound_size),
        };
        let bytes = bound.checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(DecodeLimit { messages, bytes })
    }

    /// Notes whether a request waits for an answer; `true` if there is one now and was none before.
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
            Box::new(OpenRequests { are_open: false, bound, packed: PackedMessages::default() })
        });
        let begins = awaits_answer && !requests.are_open;
        if begins {
            requests.bound = bound;
        }
        requests.are_open = awaits_answer;
        if !awaits_answer && requests.packed.is_empty() {
            self.requests = None;
        }
        begins
    }

    /// Returns the size at which no more is decoded: `inbound_size` more bytes may wait than when
    /// the request was sent, and never more than twice `inbound_size`.
    fn bound(&self, limits: &Limits) -> usize {
        let may_wait = self.size.min(limits.inbound_size).saturating_add(limits.inbound_size);
        may_wait.saturating_add(1)
    }

    pub(super) fn has_requests(&self) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.are_open)
    }

    /// Returns the queue to which decoded messages are appended; [`accept`](Self::accept) counts
    /// them.
    pub(super) fn decoded(&mut self) -> &mut VecDeque<Inbound> {
        &mut self.messages
    }

    /// Whether there is a large message behind the first `known` ones.
    pub(super) fn has_large(&self, known: usize) -> bool {
        self.messages.range(known..).any(Inbound::is_large)
    }

    /// Removes and returns the messages behind the first `known` ones.
    pub(super) fn split_off(&mut self, known: usize) -> VecDeque<Inbound> {
        self.messages.split_off(known)
    }

    /// Counts the messages behind the first `known` ones, and packs them if a request is pending.
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
        let first = match requests.packed.is_empty() {
            true => known.max(limits.inbound_messages.min(self.messages.len())),
            false => known,
        };
        requests.packed.extend(self.messages.drain(first..));
    }
}
