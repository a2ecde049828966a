//! Decodes the messages of a connection, in a context that it holds only while a message is
//! unfinished.

use std::collections::VecDeque;
use std::{io, mem};

use tokio_tungstenite::tungstenite::{Error, Message};

use super::context::{self, Feed, GrownBuffer};
use super::failure::Failure;
use super::inbound::{Inbound, Text};
use super::{DecodeLimit, Input, Protocol, ProtocolEnd};

impl Protocol {
    /// Takes new bytes, passes every ping to `on_ping`, and decodes as many messages as `limit`
    /// allows.
    ///
    /// When the frames of the peer end, returns how, once. Messages before the end may still have
    /// to be decoded, by further calls without bytes.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        limit: Option<DecodeLimit>,
        inbound: &mut VecDeque<Inbound>,
        on_ping: &mut dyn FnMut(&[u8]),
    ) -> Option<ProtocolEnd> {
        let mut stop = None;
        if let Some(limit) = limit
            && self.backlog.is_empty()
            && self.input != Input::Over
        {
            let (clean, found) = self.scanner.scan(bytes);
            if found.is_none() {
                // Only data frames, which are decoded without being copied first.
                let mut feed = Feed { bytes };
                let failure = self.decode(&mut feed, limit, inbound);
                self.backlog.extend_from_slice(feed.bytes);
                self.scanned = feed.bytes.len();
                return self.finish_decoding(failure);
            }
            (self.scanned, stop) = (clean, found);
        }
        let end = self.scan(bytes, stop, on_ping);
        // An error in a message comes before the end of the frames behind it.
        self.decode_backlog(limit, inbound).or(end)
    }

    fn decode_backlog(
        &mut self,
        limit: Option<DecodeLimit>,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<ProtocolEnd> {
        let Some(limit) = limit.filter(|_| self.has_undecoded()) else {
            return self.finish_decoding(None);
        };
        let mut backlog = mem::take(&mut self.backlog);
        let mut feed = Feed { bytes: &backlog[..self.scanned] };
        let failure = self.decode(&mut feed, limit, inbound);
        let fed = self.scanned - feed.bytes.len();
        backlog.drain(..fed);
        self.scanned -= fed;
        // An empty backlog is freed, so that idle connections hold no buffer.
        self.backlog = if backlog.is_empty() { Vec::new() } else { backlog };
        self.finish_decoding(failure)
    }

    fn finish_decoding(&mut self, failure: Option<Failure>) -> Option<ProtocolEnd> {
        if let Some(failure) = failure {
            // A context must not be used again after an error.
            self.discard();
            return Some(ProtocolEnd::Failure(failure));
        }
        if self.grown.is_none() && self.is_between_messages() {
            self.context.take().into_iter().for_each(context::give_back);
        }
        if self.input == Input::Over && !self.has_undecoded() {
            // The context may hold the start of a message, which no other connection must receive.
            self.drop_context();
        }
        None
    }

    /// Returns whether the context has no state of its connection.
    fn is_between_messages(&self) -> bool {
        self.scanner.at_boundary() && !self.has_undecoded() && self.input != Input::Over
    }

    fn decode(
        &mut self,
        feed: &mut Feed<'_>,
        limit: DecodeLimit,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<Failure> {
        let message_size = self.scanner.message_size();
        let context = self.context.get_or_insert_with(|| context::take(message_size));
        self.unfinished = true;
        let (mut messages, mut bytes) = (0, 0);
        while self.unfinished && messages < limit.messages && bytes < limit.bytes {
            match context.read(feed) {
                Ok(Message::Text(text)) => inbound.push_back(Inbound::Text(Text::new(text))),
                Ok(Message::Binary(binary)) => inbound.push_back(Inbound::binary(binary)),
                // Not reached: the context receives no control frames.
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unfinished = false;
                    return None;
                }
                Err(error) => return Some(Failure::of(&error, message_size)),
            }
            messages += 1;
            self.decoded = self.decoded.wrapping_add(1);
            let Some(message) = inbound.back() else { continue };
            let size = message.bytes().len();
            bytes += size;
            if message.is_large() {
                self.grown.get_or_insert_with(|| GrownBuffer::new(size)).grow(size);
            }
            // Checked here, because reading to the end would cost another read.
            self.unfinished = !(self.scanner.at_boundary() && self.scanner.begun() == self.decoded);
        }
        None
    }

    /// Returns whether the context has a buffer that is larger than most messages need.
    pub(crate) fn has_grown(&self) -> bool {
        self.grown.is_some()
    }

    /// Keeps a grown buffer for further messages. Returns `false` if the buffers of other
    /// connections have reached the maximum.
    pub(crate) fn keep_grown(&mut self) -> bool {
        self.grown.as_mut().is_none_or(GrownBuffer::keep)
    }

    /// Frees a grown buffer, unless a message is unfinished.
    pub(crate) fn shrink(&mut self) {
        if self.grown.is_some() && self.is_between_messages() {
            self.drop_context();
        }
    }

    pub(super) fn drop_context(&mut self) {
        self.context = None;
        self.grown = None;
    }
}
