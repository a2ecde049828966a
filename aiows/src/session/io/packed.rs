//! Messages that wait for a question to be answered, packed: a small one costs little more than its bytes.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, BytesMut};

use crate::limits::Limits;
use crate::protocol::Inbound;

/// The size of one run of packed messages, in bytes.
const RUN: usize = 16 * 1024;

/// Larger messages are kept as they are.
const MAX_PACKED: usize = 4 * 1024;

/// What stands before each packed message: its length, and whether it is binary.
const HEAD: usize = size_of::<u16>();

const IS_BINARY: u16 = 1 << 15;

const _: () = assert!(MAX_PACKED < IS_BINARY as usize);

/// Messages in the order in which they arrived.
#[derive(Debug, Default)]
pub(super) struct Saved {
    parts: VecDeque<Part>,
    /// What the parts take, in bytes.
    held: usize,
}

#[derive(Debug)]
enum Part {
    /// Small messages behind one another; never empty.
    Run(BytesMut),
    Whole(Inbound),
}

impl Saved {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether more may be kept: empty messages take room as well.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        self.held / 2 < limits.inbound_size.max(RUN)
    }

    pub(super) fn extend(&mut self, messages: impl Iterator<Item = Inbound>) {
        messages.for_each(|message| self.push(message));
    }

    fn push(&mut self, message: Inbound) {
        let bytes = message.bytes();
        if bytes.len() > MAX_PACKED {
            self.held += bytes.len() + size_of::<Part>();
            self.parts.push_back(Part::Whole(message));
            return;
        }
        // `MAX_PACKED` fits.
        let length = u16::try_from(bytes.len()).unwrap_or_default();
        let head = if message.is_binary() { length | IS_BINARY } else { length };
        let mut run = self.take_run(HEAD + bytes.len());
        run.put_u16(head);
        run.put_slice(bytes);
        self.parts.push_back(Part::Run(run));
    }

    /// Takes the last run if so many bytes fit into it, or makes another one.
    fn take_run(&mut self, size: usize) -> BytesMut {
        match self.parts.pop_back() {
            Some(Part::Run(run)) if run.capacity() - run.len() >= size => return run,
            other => self.parts.extend(other),
        }
        self.held += RUN + size_of::<Part>();
        BytesMut::with_capacity(RUN)
    }

    pub(super) fn pop(&mut self) -> Option<Inbound> {
        let run = match self.parts.front_mut()? {
            Part::Run(run) => run,
            Part::Whole(_) => return self.pop_whole(),
        };
        let head = run.get_u16();
        let bytes = run.split_to(usize::from(head & !IS_BINARY)).freeze();
        if run.is_empty() {
            self.parts.pop_front();
            self.held -= RUN + size_of::<Part>();
        }
        Some(Inbound::of_bytes(bytes, head & IS_BINARY != 0))
    }

    fn pop_whole(&mut self) -> Option<Inbound> {
        let Some(Part::Whole(message)) = self.parts.pop_front() else { return None };
        self.held -= message.bytes().len() + size_of::<Part>();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn messages(size: usize, count: usize) -> impl Iterator<Item = Inbound> {
        std::iter::repeat_n(Inbound::of_bytes(Bytes::from(vec![b'x'; size]), true), count)
    }

    #[test]
    fn small_messages_take_little_more_than_their_bytes() {
        let limits = Limits::default();
        let mut saved = Saved::default();
        saved.extend(messages(12, limits.inbound_size / 12));
        assert!(saved.has_room(&limits));
        assert!(saved.held < limits.inbound_size * 5 / 4, "{}", saved.held);
        while saved.pop().is_some() {}
        assert_eq!((saved.held, saved.parts.len()), (0, 0));
    }

    #[test]
    fn the_number_of_empty_messages_is_bounded() {
        let limits = Limits::default();
        let mut saved = Saved::default();
        let mut count = 0;
        while saved.has_room(&limits) {
            saved.extend(messages(0, 64));
            count += 64;
        }
        assert!(saved.held <= 2 * limits.inbound_size + RUN, "{}", saved.held);
        assert!((200_000..300_000).contains(&count), "{count}");
    }
}
