use std::collections::VecDeque;

use crate::limits::Limits;
use crate::transport::{Inbound, Room};

/// The accepted messages of one connection, in the order in which they arrived.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: VecDeque<Inbound>,
    /// Bytes of all messages.
    size: usize,
    requests: Requests,
}

/// Whether the server waits for an answer of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Requests {
    #[default]
    None,
    /// The answer may lie behind messages: twice as many may wait.
    Open,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn pop(&mut self) -> Option<Inbound> {
        let message = self.messages.pop_front()?;
        self.size -= message.bytes().len();
        if message.is_large() && self.messages.is_empty() {
            // What was allocated beside a large buffer and stays keeps the allocator from giving
            // that memory back.
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.size = 0;
    }

    /// How much more may be decoded; `None` if nothing.
    pub(super) fn room(&self, limits: &Limits) -> Option<Room> {
        let messages = self.bound(limits.inbound_messages).checked_sub(self.messages.len())?;
        let bytes = self.bound(limits.inbound_size).checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(Room { messages, bytes })
    }

    fn bound(&self, limit: usize) -> usize {
        match self.requests {
            Requests::None => limit,
            Requests::Open => limit.saturating_mul(2),
        }
    }

    /// Notes whether the server waits for an answer; `true` if it does and did not before.
    pub(super) fn note_requests(&mut self, is_asking: bool) -> bool {
        let before = self.requests;
        self.requests = if is_asking { Requests::Open } else { Requests::None };
        self.requests == Requests::Open && before == Requests::None
    }

    pub(super) fn has_requests(&self) -> bool {
        self.requests == Requests::Open
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
    pub(super) fn accept(&mut self, known: usize) {
        let size = |message: &Inbound| message.bytes().len();
        self.size += self.messages.range(known..).map(size).sum::<usize>();
    }
}
