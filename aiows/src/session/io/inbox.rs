use std::collections::VecDeque;

use super::saved::Saved;
use crate::limits::Limits;
use crate::protocol::{Inbound, Room};

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
    questions: Option<Box<Questions>>,
}

/// Questions to the client, and what it has sent before it answered.
#[derive(Debug)]
struct Questions {
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
        if self.questions.is_some() {
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
        let Some(questions) = &mut self.questions else { return };
        self.messages.extend(questions.saved.pop());
        if questions.saved.is_empty() && !questions.are_open {
            self.questions = None;
        }
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.size = 0;
        self.questions = None;
    }

    /// How much more may be decoded; `None` if nothing.
    pub(super) fn room(&self, limits: &Limits) -> Option<Room> {
        if let Some(questions) = &self.questions {
            return self.room_beside(questions, limits);
        }
        let messages = limits.inbound_messages.checked_sub(self.messages.len())?;
        let bytes = limits.inbound_size.checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(Room { messages, bytes })
    }

    #[cold]
    fn room_beside(&self, questions: &Questions, limits: &Limits) -> Option<Room> {
        let (messages, bound) = match questions.are_open {
            true if questions.saved.has_room(limits) => (BATCH, questions.bound),
            // What is saved is handled first.
            _ => (0, limits.inbound_size),
        };
        let bytes = bound.checked_sub(self.size)?;
        (messages > 0 && bytes > 0).then_some(Room { messages, bytes })
    }

    /// Notes whether the server waits for an answer; `true` if it does and did not before.
    #[inline]
    pub(super) fn note_questions(&mut self, is_asking: bool, limits: &Limits) -> bool {
        // The common case, in few instructions.
        if !is_asking && self.questions.is_none() {
            return false;
        }
        self.change_questions(is_asking, limits)
    }

    #[cold]
    fn change_questions(&mut self, is_asking: bool, limits: &Limits) -> bool {
        let bound = self.bound(limits);
        let questions = self.questions.get_or_insert_with(|| {
            Box::new(Questions { are_open: false, bound, saved: Saved::default() })
        });
        let begins = is_asking && !questions.are_open;
        if begins {
            questions.bound = bound;
        }
        questions.are_open = is_asking;
        if !is_asking && questions.saved.is_empty() {
            self.questions = None;
        }
        begins
    }

    /// The size at which no more is decoded: as much again may wait as without a question, and never more
    /// than twice as much.
    fn bound(&self, limits: &Limits) -> usize {
        let may_wait = self.size.min(limits.inbound_size).saturating_add(limits.inbound_size);
        may_wait.saturating_add(1)
    }

    pub(super) fn has_questions(&self) -> bool {
        self.questions.as_ref().is_some_and(|questions| questions.are_open)
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
        if self.questions.is_some() {
            self.pack(known, limits);
        }
    }

    #[cold]
    fn pack(&mut self, known: usize, limits: &Limits) {
        let Some(questions) = &mut self.questions else { return };
        let first = match questions.saved.is_empty() {
            true => known.max(limits.inbound_messages.min(self.messages.len())),
            false => known,
        };
        questions.saved.extend(self.messages.drain(first..));
    }
}
