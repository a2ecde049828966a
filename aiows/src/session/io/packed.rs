//! Messages that arrive while a request to the client is pending, packed so that a small one takes
//! little more than its bytes.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, BytesMut};

use crate::limits::Limits;
use crate::protocol::Inbound;

/// The size of one buffer of packed messages, in bytes.
const RUN: usize = 16 * 1024;

/// Larger messages are not packed.
const MAX_PACKED: usize = 4 * 1024;

/// The size of the header of each packed message: its length, and whether it is binary.
const HEAD: usize = size_of::<u16>();

const IS_BINARY: u16 = 1 << 15;

const _: () = assert!(MAX_PACKED < IS_BINARY as usize);

/// Messages in the order in which they arrived.
#[derive(Debug, Default)]
pub(super) struct PackedMessages {
    parts: VecDeque<Part>,
    /// The memory of all parts, in bytes.
    held: usize,
}

#[derive(Debug)]
enum Part {
    /// Small messages one after another; never empty.
    Run(BytesMut),
    Whole(Inbound),
}

impl PackedMessages {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether more messages may be kept. Empty messages take memory as well.
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

    /// Removes the last run if `size` more bytes fit into it; otherwise allocates another one.
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
        let mut packed = PackedMessages::default();
        packed.extend(messages(12, limits.inbound_size / 12));
        assert!(packed.has_room(&limits));
        assert!(packed.held < limits.inbound_size * 5 / 4, "{}", packed.held);
        while packed.pop().is_some() {}
        assert_eq!((packed.held, packed.parts.len()), (0, 0));
    }

    #[test]
    fn large_messages_take_their_bytes_until_they_are_handled() {
        let mut packed = PackedMessages::default();
        packed.extend(messages(MAX_PACKED + 1, 3).chain(messages(MAX_PACKED, 1)));
        let part = size_of::<Part>();
        assert_eq!(packed.held, 3 * (MAX_PACKED + 1 + part) + RUN + part);
        for size in [MAX_PACKED + 1, MAX_PACKED + 1, MAX_PACKED + 1, MAX_PACKED] {
            assert_eq!(packed.pop().unwrap().bytes().len(), size);
        }
        assert_eq!((packed.held, packed.is_empty()), (0, true));
    }

    #[test]
    fn the_number_of_empty_messages_is_bounded() {
        let limits = Limits::default();
        let mut packed = PackedMessages::default();
        let mut count = 0;
        while packed.has_room(&limits) {
            packed.extend(messages(0, 64));
            count += 64;
        }
        assert!(packed.held <= 2 * limits.inbound_size + RUN, "{}", packed.held);
        assert!((200_000..300_000).contains(&count), "{count}");
    }
}
