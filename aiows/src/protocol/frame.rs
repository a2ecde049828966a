//! Frame headers: writes those of the server, and follows those of a peer without decoding the
//! frames.

use bytes::Bytes;

use crate::close::{CloseCode, cut_reason};

/// Space at the front of an encoded payload for the longest frame header of a server.
pub(crate) const HEADROOM: usize = 10;

/// The opcode of a data frame. Source: RFC 6455 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Binary = 0x2,
    Text = 0x1,
}

const FIN: u8 = 0x80;
pub(super) const MASK: u8 = 0x80;
/// The bit that is set in the opcode of every control frame.
const CONTROL: u8 = 0x08;
const OPCODE: u8 = 0x0f;
/// The bits that only an extension may set. The server negotiates no extension.
const RESERVED: u8 = 0x70;

/// The first byte of each control frame, which is always a single fragment. Source: RFC 6455
/// section 5.5.
pub(super) const CLOSE: u8 = FIN | 0x8;
pub(super) const PING: u8 = FIN | 0x9;
pub(super) const PONG: u8 = FIN | 0xa;

/// The longest payload of a control frame. Source: RFC 6455 section 5.5.
pub(super) const MAX_CONTROL: usize = 125;

pub(crate) fn ping_frame() -> Bytes {
    const FRAME: &[u8] = &[PING, 0];
    Bytes::from_static(FRAME)
}

/// Returns the pong that answers a ping with this payload, of at most `MAX_CONTROL` bytes.
pub(crate) fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(PONG, payload)
}

/// Returns a close frame. Without a code it has no payload, like the frame of a peer that it
/// answers.
pub(crate) fn close_frame(code: Option<CloseCode>, reason: &str) -> Bytes {
    let Some(code) = code else {
        return control_frame(CLOSE, &[]);
    };
    control_frame(CLOSE, &[&code.as_u16().to_be_bytes(), cut_reason(reason).as_bytes()].concat())
}

fn control_frame(first: u8, payload: &[u8]) -> Bytes {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    // The length is at most 125, so it is the whole second byte.
    [&[first, payload.len() as u8], payload].concat().into()
}

/// The payload of a fragment, in bytes. Longer messages are sent in several fragments, so that
/// control frames can be sent between them.
pub(crate) const FRAGMENT: usize = 64 * 1024;

/// The header of every fragment between the first and the last.
pub(crate) const NEXT_FRAGMENT: &[u8; 10] = &[0, 127, 0, 0, 0, 0, 0, 1, 0, 0];
/// The header of the last of several fragments.
pub(crate) const LAST_FRAGMENT: &[u8; 10] = &[FIN, 127, 0, 0, 0, 0, 0, 1, 0, 0];

/// Returns the payload of the first fragment of a message, in bytes. All other fragments have the
/// full length, so that their headers are constant.
pub(crate) fn first_fragment(size: usize) -> usize {
    size.saturating_sub(1) % FRAGMENT + size.min(1)
}

/// Writes the header of the first fragment of a message, without a mask, right before the payload,
/// which starts at `HEADROOM`.
///
/// Returns the position in `buffer` at which the fragment starts.
pub(crate) fn write_header(opcode: Opcode, buffer: &mut [u8]) -> usize {
    let size = buffer.len() - HEADROOM;
    let length = first_fragment(size);
    let first = if length < size { opcode as u8 } else { FIN | opcode as u8 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => {
            buffer[HEADROOM - 2..HEADROOM].copy_from_slice(&[first, short]);
            HEADROOM - 2
        }
        (_, Ok(medium)) => {
            buffer[HEADROOM - 4..HEADROOM - 2].copy_from_slice(&[first, 126]);
            buffer[HEADROOM - 2..HEADROOM].copy_from_slice(&medium.to_be_bytes());
            HEADROOM - 4
        }
        _ => {
            buffer[..2].copy_from_slice(&[first, 127]);
            buffer[2..HEADROOM].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    }
}

/// Follows the frame boundaries in the bytes of a peer. Control frames are left to the caller.
#[derive(Debug)]
pub(super) struct Scanner {
    /// The bytes of the current header that have arrived.
    header: [u8; 14],
    header_length: u8,
    /// The payload bytes of the current frame that have not arrived yet.
    payload: u64,
    /// The payload bytes that the frames of the current message have announced so far.
    announced: u64,
    /// The frames of the current message so far. Zero between two messages.
    fragments: usize,
    max_fragments: usize,
    message_size: usize,
    /// The number of messages that have started.
    message: u32,
}

/// The reason for which a scan ended before the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the first byte of a control frame.
    Control,
    /// Before the last header byte of one fragment too many. The frame is never decoded without
    /// this byte.
    Fragments,
    /// In the header of a data frame that is not allowed here.
    Invalid,
    /// Before the last header byte of a frame that makes its message too large.
    TooLarge,
}

impl Scanner {
    pub(super) fn new(max_fragments: usize, message_size: usize) -> Self {
        Self {
            header: [0; 14],
            header_length: 0,
            payload: 0,
            announced: 0,
            fragments: 0,
            max_fragments,
            message_size,
            message: 0,
        }
    }

    /// Returns the number of frames that a message may have.
    pub(super) fn max_fragments(&self) -> usize {
        self.max_fragments
    }

    /// Returns the number of bytes that a message may have.
    pub(super) fn message_size(&self) -> usize {
        self.message_size
    }

    /// Returns whether all bytes so far are whole messages.
    pub(super) fn at_boundary(&self) -> bool {
        self.payload == 0 && self.header_length == 0 && self.fragments == 0
    }

    /// Returns the number of messages that have started so far.
    pub(super) fn begun(&self) -> u32 {
        self.message
    }

    /// Returns the number of the unfinished message, and how many of its bytes have arrived.
    pub(super) fn under_way(&self) -> Option<(u32, u64)> {
        let arrived = self.announced.saturating_sub(self.payload);
        (!self.at_boundary()).then_some((self.message, arrived))
    }

    /// Passes over the bytes of data frames. Returns how many bytes it has passed, and why it
    /// stopped.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, Option<Stop>) {
        let mut at = 0;
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len() - at);
            self.payload -= skipped as u64;
            at += skipped;
            let Some(&next) = bytes.get(at) else {
                return (at, None);
            };
            match self.header_length {
                0 if next & CONTROL != 0 => return (at, Some(Stop::Control)),
                0 if !self.may_begin_with(next) => return (at, Some(Stop::Invalid)),
                0 => {
                    self.begin_frame(next);
                    at += 1;
                }
                1 if next & MASK == 0 => return (at, Some(Stop::Invalid)),
                1 => {
                    self.header[1] = next;
                    self.header_length = 2;
                    at += 1;
                }
                _ => {
                    at += self.take_header(&bytes[at..]);
                    if let Some(stop) = self.end_header() {
                        return (at - 1, Some(stop));
                    }
                }
            }
        }
    }

    fn begin_frame(&mut self, first: u8) {
        if self.fragments == 0 {
            self.announced = 0;
            self.message = self.message.wrapping_add(1);
        }
        self.header[0] = first;
        self.header_length = 1;
    }

    /// Takes the bytes of the header that have arrived, beyond the first two. Returns how many it
    /// has taken.
    fn take_header(&mut self, bytes: &[u8]) -> usize {
        let start = usize::from(self.header_length);
        let end = self.header_size().min(start + bytes.len());
        let taken = end - start;
        self.header[start..end].copy_from_slice(&bytes[..taken]);
        self.header_length += taken as u8;
        taken
    }

    /// Returns the size of the header, once its second byte has arrived. Every header of a client
    /// has a mask.
    fn header_size(&self) -> usize {
        match self.header[1] & !MASK {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    /// Announces the payload once the header is whole. Returns the reason if the frame must not be
    /// decoded.
    fn end_header(&mut self) -> Option<Stop> {
        if usize::from(self.header_length) < self.header_size() {
            return None;
        }
        let [_, second, extended @ ..] = &self.header;
        self.payload = match second & !MASK {
            126 => u64::from(u16::from_be_bytes([extended[0], extended[1]])),
            127 => extended[..8].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            short => u64::from(short),
        };
        self.announced = self.announced.saturating_add(self.payload);
        self.header_length = 0;
        if self.count_fragment() > self.max_fragments {
            return Some(Stop::Fragments);
        }
        (self.announced > self.message_size as u64).then_some(Stop::TooLarge)
    }

    /// Returns whether a data frame may start with this byte. Source: RFC 6455 sections 5.2 and
    /// 5.4.
    fn may_begin_with(&self, first: u8) -> bool {
        let is_in_order = match first & OPCODE {
            0 => self.fragments > 0,
            opcode => opcode <= 2 && self.fragments == 0,
        };
        is_in_order && first & RESERVED == 0
    }

    /// Counts a frame, and returns how many the current message has.
    fn count_fragment(&mut self) -> usize {
        self.fragments += 1;
        let count = self.fragments;
        if self.header[0] & FIN != 0 {
            self.fragments = 0;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(MASK | length as u8),
            126..65536 => {
                frame.push(MASK | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(MASK | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0; 4 + length]);
        frame
    }

    #[test]
    fn headers_of_every_length_form_are_written() {
        for (length, header) in [
            (5, vec![0x81, 5]),
            (126, vec![0x81, 126, 0, 126]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut buffer = vec![0; HEADROOM + length];
            let start = write_header(Opcode::Text, &mut buffer);
            assert_eq!(buffer[start..HEADROOM], header);
        }
    }

    #[test]
    fn the_first_fragment_has_the_bytes_that_do_not_fill_a_fragment() {
        for (size, first) in
            [(0, 0), (1, 1), (FRAGMENT, FRAGMENT), (FRAGMENT + 1, 1), (3 * FRAGMENT, FRAGMENT)]
        {
            assert_eq!(first_fragment(size), first, "{size}");
        }
        let mut buffer = vec![0; HEADROOM + FRAGMENT + 5];
        let start = write_header(Opcode::Binary, &mut buffer);
        assert_eq!(buffer[start..HEADROOM], [0x02, 5]);
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        let bytes =
            [frame(0x81, 5), frame(0x01, 200), frame(0x80, 70_000), frame(0x82, 1), frame(0x88, 2)]
                .concat();
        let close = bytes.len() - 8;
        for size in [1, 2, 3, 7, 100, bytes.len()] {
            let mut scanner = Scanner::new(10, 1 << 20);
            let mut at = 0;
            for chunk in bytes.chunks(size) {
                let (clean, stop) = scanner.scan(chunk);
                at += clean;
                if stop.is_some() {
                    assert_eq!(stop, Some(Stop::Control), "{size}");
                    break;
                }
            }
            assert_eq!(at, close, "{size}");
            assert!(scanner.at_boundary());
        }
    }

    #[test]
    fn the_bytes_of_an_unfinished_message_are_counted_over_its_fragments() {
        let mut scanner = Scanner::new(10, 1 << 20);
        scanner.scan(&frame(0x81, 7));
        scanner.scan(&frame(0x01, 200));
        assert_eq!(scanner.under_way(), Some((2, 200)));
        let last = frame(0x80, 1000);
        scanner.scan(&last[..last.len() - 1]);
        assert_eq!(scanner.under_way(), Some((2, 1199)));
        scanner.scan(&last[last.len() - 1..]);
        assert_eq!(scanner.under_way(), None);
    }

    #[test]
    fn fragments_are_counted_per_message_including_empty_ones() {
        let whole = [frame(0x01, 0), frame(0x00, 0), frame(0x80, 0)].concat();
        let mut scanner = Scanner::new(3, 1 << 20);
        assert_eq!(scanner.scan(&whole), (whole.len(), None));
        assert_eq!(scanner.scan(&whole), (whole.len(), None));
        let mut scanner = Scanner::new(2, 1 << 20);
        assert_eq!(scanner.scan(&whole), (whole.len() - 1, Some(Stop::Fragments)));
    }

    #[test]
    fn a_scan_ends_at_the_first_frame_that_is_not_allowed() {
        let (first, mut unmasked) = (frame(0x01, 1), frame(0x81, 1));
        unmasked[1] &= !MASK;
        for (before, invalid, at) in [
            (vec![], frame(0xc1, 1), 0),
            (vec![], frame(0x83, 1), 0),
            (vec![], frame(0x80, 1), 0),
            (first.clone(), frame(0x81, 1), 0),
            (vec![], unmasked, 1),
        ] {
            let bytes = [&before[..], &invalid, &frame(0x89, 0)].concat();
            let found = Scanner::new(10, 1 << 20).scan(&bytes);
            assert_eq!(found, (before.len() + at, Some(Stop::Invalid)), "{invalid:?}");
        }
        let too_large = [first, frame(0x80, 9)].concat();
        let found = Scanner::new(10, 9).scan(&too_large);
        assert_eq!(found, (too_large.len() - 10, Some(Stop::TooLarge)));
    }

    #[test]
    fn control_frames_are_written_whole() {
        assert_eq!(ping_frame(), [0x89, 0].as_slice());
        assert_eq!(pong_frame(b"hi"), [0x8a, 2, b'h', b'i'].as_slice());
        assert_eq!(close_frame(None, "unused"), [0x88, 0].as_slice());
        let close = close_frame(Some(CloseCode::NORMAL), &"é".repeat(100));
        assert_eq!(close[..4], [0x88, 124, 0x03, 0xe8]);
        assert_eq!(close.len(), 126);
    }
}
