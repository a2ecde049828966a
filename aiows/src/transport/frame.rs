//! Frame headers: writing ours, and following a peer's without decoding them.

use crate::codec::HEADROOM;

/// What a frame of ours carries. Source: RFC 6455 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Binary = 0x2,
    Ping = 0x9,
    Text = 0x1,
}

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x8;

/// The longest payload of a control frame. Source: RFC 6455 section 5.5.
const MAX_CONTROL: u64 = 125;

/// Bytes of payload in a fragment. Longer messages are sent in several, so that control frames can
/// pass between them.
pub(crate) const FRAGMENT: usize = 64 * 1024;

/// The header of every fragment between the first and the last.
pub(crate) const NEXT_FRAGMENT: &[u8; 10] = &[0, 127, 0, 0, 0, 0, 0, 1, 0, 0];
/// The header of the last of several fragments.
pub(crate) const LAST_FRAGMENT: &[u8; 10] = &[FIN, 127, 0, 0, 0, 0, 0, 1, 0, 0];

/// Bytes of payload in the first fragment of a message: all others are of full length, so that their
/// headers are constant.
pub(crate) fn first_fragment(size: usize) -> usize {
    size.saturating_sub(1) % FRAGMENT + size.min(1)
}

/// Writes the header of the first fragment of a message, unmasked, right before the payload that
/// begins at `HEADROOM`.
///
/// Returns where the fragment begins in `buffer`.
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

/// Follows the frame boundaries of what a peer sends.
#[derive(Debug)]
pub(super) struct Scanner {
    header: [u8; 14],
    header_length: usize,
    /// Payload bytes of the current frame that have not come yet.
    payload: u64,
    fragments: usize,
    max_fragments: usize,
}

/// Where a scan stopped short of the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the first byte of a close frame.
    Close(usize),
    /// Before the last header byte of a control frame that is too long.
    Control(usize),
    /// Before the last header byte of one fragment too many: without it the frame is never decoded.
    Fragments(usize),
}

impl Scanner {
    pub(super) fn new(max_fragments: usize) -> Self {
        Self { header: [0; 14], header_length: 0, payload: 0, fragments: 0, max_fragments }
    }

    /// Whether everything seen so far is whole messages.
    pub(super) fn at_boundary(&self) -> bool {
        self.payload == 0 && self.header_length == 0 && self.fragments == 0
    }

    pub(super) fn scan(&mut self, bytes: &[u8]) -> Option<Stop> {
        let mut at = 0;
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len() - at);
            self.payload -= skipped as u64;
            at += skipped;
            let next = *bytes.get(at)?;
            if self.header_length == 0 && next & OPCODE == CLOSE {
                return Some(Stop::Close(at));
            }
            self.header[self.header_length] = next;
            self.header_length += 1;
            at += 1;
            if let Some(length) = self.complete_header() {
                if self.header[0] & OPCODE > CLOSE && length > MAX_CONTROL {
                    return Some(Stop::Control(at - 1));
                }
                self.payload = length;
                self.header_length = 0;
                if self.count_fragment() > self.max_fragments {
                    return Some(Stop::Fragments(at - 1));
                }
            }
        }
    }

    /// The announced length, once the header is whole.
    fn complete_header(&self) -> Option<u64> {
        let [_, second, extended @ ..] = &self.header;
        let mask = if second & MASK == 0 { 0 } else { 4 };
        let (header, length) = match second & !MASK {
            126 => (4, u64::from(u16::from_be_bytes([extended[0], extended[1]]))),
            127 => {
                (10, extended[..8].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
            }
            short => (2, u64::from(short)),
        };
        (self.header_length >= 2 && self.header_length == header + mask).then_some(length)
    }

    /// How many frames the current message has; control frames do not count.
    fn count_fragment(&mut self) -> usize {
        let first = self.header[0];
        if first & OPCODE > 2 {
            return 0;
        }
        self.fragments += 1;
        let count = self.fragments;
        if first & FIN != 0 {
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
    fn the_first_fragment_has_what_full_ones_leave() {
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
        let bytes = [
            frame(0x81, 5),
            frame(0x01, 200),
            frame(0x80, 70_000),
            frame(0x89, 0),
            frame(0x82, 1),
            frame(0x88, 2),
        ]
        .concat();
        let close = bytes.len() - 8;
        for size in [1, 2, 3, 7, 100, bytes.len()] {
            let mut scanner = Scanner::new(10);
            let mut at = 0;
            let stop = bytes.chunks(size).find_map(|chunk| {
                let stop = scanner.scan(chunk);
                at += chunk.len();
                stop.map(|stop| (stop, at - chunk.len()))
            });
            let Some((Stop::Close(offset), start)) = stop else { panic!("{size}: {stop:?}") };
            assert_eq!(start + offset, close, "{size}");
            assert!(scanner.at_boundary());
        }
    }

    #[test]
    fn fragments_count_per_message_and_empty_ones_too() {
        let whole = [frame(0x01, 0), frame(0x89, 3), frame(0x00, 0), frame(0x80, 0)].concat();
        let mut scanner = Scanner::new(3);
        assert_eq!(scanner.scan(&whole), None);
        assert_eq!(scanner.scan(&whole), None);
        let mut scanner = Scanner::new(2);
        assert!(matches!(scanner.scan(&whole), Some(Stop::Fragments(_))));
    }
}
