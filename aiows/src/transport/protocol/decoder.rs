//! Data frames to messages: headers, masks and fragments. Source: RFC 6455 sections 5.2 to 5.4.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Failure;
use crate::codec::pool::{LARGE, LargeBuffer};
use crate::transport::frame::{FIN, MASK};
use crate::transport::{Inbound, Text};

/// Small messages are cut out of a buffer of this many bytes.
const SMALL_BUFFER: usize = 1024;

/// Reserved bits of a first byte: no extension is ever agreed on.
const RESERVED: u8 = 0x70;

const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;

/// The longest header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

thread_local! {
    /// A decoder between two messages serves any connection of the thread.
    static SPARE: Cell<Option<Box<Decoder>>> = const { Cell::new(None) };
}

/// Decodes the data frames of one connection, from one message to the end of the next.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The beginning of a header whose rest has not come.
    header: [u8; MAX_HEADER],
    header_length: usize,
    frame: Option<Frame>,
    message: Option<Kind>,
    payload: Payload,
    /// How many bytes of the fragments of a text are checked.
    valid: usize,
}

/// The frame whose payload is under way.
#[derive(Debug)]
struct Frame {
    is_last: bool,
    /// Turned so that its first byte is that of the next byte of payload.
    mask: [u8; 4],
    missing: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Binary,
    Text,
}

/// What has come of a message.
#[derive(Debug)]
struct Payload {
    /// Keeps its memory from message to message.
    small: BytesMut,
    /// Used instead, once the message is known to be large.
    large: Option<LargeBuffer>,
}

/// A whole header.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    first: u8,
    mask: Option<[u8; 4]>,
    payload: u64,
}

impl Decoder {
    pub(super) fn take() -> Box<Self> {
        SPARE.take().unwrap_or_else(|| {
            Box::new(Self {
                header: [0; MAX_HEADER],
                header_length: 0,
                frame: None,
                message: None,
                payload: Payload { small: BytesMut::with_capacity(SMALL_BUFFER), large: None },
                valid: 0,
            })
        })
    }

    /// Keeps a decoder for the next [`take`](Self::take) on this thread, unless it holds bytes of
    /// its connection.
    pub(super) fn give_back(self: Box<Self>) {
        if self.is_idle() {
            SPARE.set(Some(self));
        }
    }

    /// Whether everything so far was whole messages.
    pub(super) fn is_idle(&self) -> bool {
        self.header_length == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Takes `bytes` up to the end of a message; `None` if there is no end in them.
    ///
    /// After a failure the decoder must not be used again.
    pub(super) fn decode(
        &mut self,
        bytes: &mut &[u8],
        message_size: usize,
    ) -> Result<Option<Inbound>, Failure> {
        loop {
            if let Some(frame) = &mut self.frame {
                let (payload, rest) = bytes.split_at(frame.missing.min(bytes.len()));
                *bytes = rest;
                self.payload.extend_masked(payload, frame.mask);
                frame.mask.rotate_left(payload.len() % 4);
                frame.missing -= payload.len();
                if frame.missing > 0 {
                    return Ok(None);
                }
                let is_last = frame.is_last;
                self.frame = None;
                if is_last {
                    return self.finish().map(Some);
                }
                self.check_fragment()?;
            }
            let Some(header) = self.read_header(bytes) else { return Ok(None) };
            self.begin_frame(&header, message_size)?;
        }
    }

    fn read_header(&mut self, bytes: &mut &[u8]) -> Option<Header> {
        if self.header_length == 0
            && let Some((header, length)) = Header::parse(bytes)
        {
            *bytes = &bytes[length..];
            return Some(header);
        }
        while let Some((next, rest)) = bytes.split_first() {
            self.header[self.header_length] = *next;
            self.header_length += 1;
            *bytes = rest;
            if let Some((header, _)) = Header::parse(&self.header[..self.header_length]) {
                self.header_length = 0;
                return Some(header);
            }
        }
        None
    }

    fn begin_frame(&mut self, header: &Header, message_size: usize) -> Result<(), Failure> {
        let kind = match (header.first & OPCODE, self.message) {
            (CONTINUATION, Some(kind)) => kind,
            (TEXT, None) => Kind::Text,
            (BINARY, None) => Kind::Binary,
            _ => return Err(Failure::PROTOCOL),
        };
        let Some(mask) = header.mask.filter(|_| header.first & RESERVED == 0) else {
            return Err(Failure::PROTOCOL);
        };
        let room = message_size.saturating_sub(self.payload.len());
        let missing = usize::try_from(header.payload).ok().filter(|missing| *missing <= room);
        let missing = missing.ok_or(Failure::SIZE)?;
        self.payload.reserve(missing, message_size);
        self.message = Some(kind);
        self.frame = Some(Frame { is_last: header.first & FIN != 0, mask, missing });
        Ok(())
    }

    /// Checks the text so far, so that a faulty one fails before its end has come.
    fn check_fragment(&mut self) -> Result<(), Failure> {
        if self.message != Some(Kind::Text) {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload.bytes()[self.valid..]) {
            Ok(checked) => self.valid += checked.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Failure::UTF8),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Inbound, Failure> {
        let payload = self.payload.finish();
        self.valid = 0;
        match self.message.take() {
            Some(Kind::Text) => {
                let text = Utf8Bytes::try_from(payload).map_err(|_| Failure::UTF8)?;
                Ok(Inbound::Text(Text::new(text)))
            }
            _ => Ok(Inbound::Binary(payload)),
        }
    }
}

impl Header {
    /// Reads the header that `bytes` begins with, and its length; `None` if it is not whole.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (payload, rest) = match second & !MASK {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = match second & MASK {
            0 => (None, rest),
            _ => {
                let (mask, rest) = rest.split_first_chunk()?;
                (Some(*mask), rest)
            }
        };
        Some((Self { first, mask, payload }, bytes.len() - rest.len()))
    }
}

impl Payload {
    fn bytes(&self) -> &[u8] {
        match &self.large {
            Some(large) => large.as_slice(),
            None => &self.small,
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Makes room for the payload of another frame of a message of at most `message_size` bytes.
    fn reserve(&mut self, more: usize, message_size: usize) {
        let length = self.len() + more;
        match &mut self.large {
            None if length <= LARGE => self.small.reserve(more),
            None => {
                let mut large = LargeBuffer::with_capacity(length);
                large.extend_from_slice(&self.small);
                self.small.clear();
                self.large = Some(large);
            }
            Some(large) if length <= large.capacity() => {}
            Some(large) => {
                // Doubled, so that a message in many fragments is not copied for each.
                large.grow(large.capacity().saturating_mul(2).min(message_size).max(length));
            }
        }
    }

    fn extend_masked(&mut self, masked: &[u8], mask: [u8; 4]) {
        let start = self.len();
        let unmasked = match &mut self.large {
            Some(large) => {
                large.extend_from_slice(masked);
                &mut large.as_mut_slice()[start..]
            }
            None => {
                self.small.extend_from_slice(masked);
                &mut self.small[start..]
            }
        };
        unmask(unmasked, mask);
    }

    fn finish(&mut self) -> Bytes {
        match self.large.take() {
            Some(large) => large.into_bytes(),
            None => self.small.split().freeze(),
        }
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    // Sixteen bytes at a time, as processors do it.
    let repeated = u128::from_ne_bytes(std::array::from_fn(|at| mask[at % 4]));
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u128::from_ne_bytes(*word) ^ repeated).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(repeated.to_ne_bytes()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
