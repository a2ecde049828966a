//! The decoder against tungstenite, on random frames that are cut at random places.

use std::io::{self, Read, Write};
use std::ops::Range;

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;

const MESSAGE_SIZE: usize = 200_000;

/// What may be wrong with the frames of one run: one thing, so that it has one close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Reserved,
    Opcode,
    Order,
    Unmasked,
    Utf8,
    Size,
}

const FAULTS: [Fault; 7] = [
    Fault::None,
    Fault::Reserved,
    Fault::Opcode,
    Fault::Order,
    Fault::Unmasked,
    Fault::Utf8,
    Fault::Size,
];

/// xorshift64: the same numbers in every run of the test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn within(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    fn length(&mut self) -> usize {
        match self.below(12) {
            0 => 0,
            1 => self.within(124..128),
            2 => self.within(65_530..65_540),
            3 => self.within(1000..30_000),
            4 if self.one_in(3) => self.within(66_000..180_000),
            _ => self.within(1..40),
        }
    }

    /// Text with characters of one to four bytes, which fragments cut through.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = String::new();
        while text.len() < length {
            let pieces = ["a", "é", "€", "🦀", "plain text "];
            text.push_str(pieces[self.below(pieces.len())]);
        }
        text.into_bytes()
    }
}

/// Whole messages in one or more fragments, some of them faulty.
fn frames(random: &mut Random, fault: Fault) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.within(1..6) {
        message(random, fault, &mut bytes);
    }
    bytes
}

fn message(random: &mut Random, fault: Fault, bytes: &mut Vec<u8>) {
    let is_text = random.one_in(2);
    let mut length = random.length();
    if fault == Fault::Size && random.one_in(4) {
        length = random.within(MESSAGE_SIZE - 2..MESSAGE_SIZE + 3);
    }
    let mut payload = random.text(length);
    if fault == Fault::Size {
        payload.truncate(length);
    }
    if (fault == Fault::Utf8 || !is_text) && !payload.is_empty() && random.one_in(3) {
        let at = random.below(payload.len());
        payload[at] = 0xff;
    }
    // Cut through a character a text is not valid: with `Fault::Size` none is sent.
    let mut opcode = if is_text && fault != Fault::Size { TEXT } else { BINARY };
    let mut rest = &payload[..];
    loop {
        let (part, after) = match random.one_in(2) {
            true => (rest, &[][..]),
            false => rest.split_at(random.below(rest.len() + 1)),
        };
        let is_last = after.is_empty() && random.one_in(2);
        let first = opcode | if is_last { FIN } else { 0 };
        frame(random, fault, first, part, bytes);
        (rest, opcode) = (after, CONTINUATION);
        if is_last {
            break;
        }
    }
}

fn frame(random: &mut Random, fault: Fault, mut first: u8, payload: &[u8], bytes: &mut Vec<u8>) {
    let is_faulty = random.one_in(8);
    match fault {
        Fault::Reserved if is_faulty => first |= 0x10 << random.below(3),
        Fault::Opcode if is_faulty => first = first & !OPCODE | random.within(3..8) as u8,
        Fault::Order if is_faulty => first = first & !OPCODE | random.below(3) as u8,
        _ => {}
    }
    let mask_bit = if fault == Fault::Unmasked && is_faulty { 0 } else { MASK };
    bytes.push(first);
    match payload.len() {
        short @ 0..126 => bytes.push(mask_bit | short as u8),
        medium @ 126..65_536 => {
            bytes.push(mask_bit | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(mask_bit | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    let mask: [u8; 4] = std::array::from_fn(|_| random.below(256) as u8);
    if mask_bit != 0 {
        bytes.extend(mask);
    }
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| match mask_bit {
        0 => *byte,
        _ => byte ^ mask[at % 4],
    }));
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Text(String),
    Binary(Bytes),
    Failure(Failure),
}

fn decoded(chunks: &[&[u8]]) -> Vec<Found> {
    let (mut decoder, mut found) = (Decoder::take(), Vec::new());
    for mut bytes in chunks.iter().copied() {
        loop {
            match decoder.decode(&mut bytes, MESSAGE_SIZE) {
                Ok(Some(Inbound::Text(text))) => found.push(Found::Text(text.as_str().into())),
                Ok(Some(Inbound::Binary(bytes))) => found.push(Found::Binary(bytes)),
                Ok(None) => break,
                Err(failure) => {
                    found.push(Found::Failure(failure));
                    return found;
                }
            }
        }
        assert!(bytes.is_empty());
    }
    decoder.give_back();
    found
}

struct Feed<'a>(&'a [u8]);

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn expected(bytes: &[u8]) -> Vec<Found> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_SIZE))
        .max_frame_size(Some(MESSAGE_SIZE));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let (mut feed, mut found) = (Feed(bytes), Vec::new());
    loop {
        found.push(match context.read(&mut feed) {
            Ok(Message::Text(text)) => Found::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Found::Binary(bytes),
            Ok(other) => panic!("{other:?}"),
            Err(Error::Io(_)) => return found,
            Err(error) => {
                found.push(Found::Failure(match error {
                    Error::Capacity(_) => Failure::SIZE,
                    Error::Utf8(_) => Failure::UTF8,
                    _ => Failure::PROTOCOL,
                }));
                return found;
            }
        });
    }
}

#[test]
fn tungstenite_finds_the_same_messages_and_the_same_faults() {
    let mut random = Random(0x5eed_1234_5678_9abc);
    let mut failures = 0;
    for run in 0..FAULTS.len() * 40 {
        let fault = FAULTS[run % FAULTS.len()];
        let bytes = frames(&mut random, fault);
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        let longest = [1, 3, 20, 5000, 70_000][random.below(5)].max(bytes.len() / 2000);
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(random.within(1..longest + 1).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        let (found, expected) = (decoded(&chunks), expected(&bytes));
        assert!(found == expected, "run {run}, {fault:?}");
        failures += usize::from(matches!(found.last(), Some(Found::Failure(_))));
    }
    assert!((30..250).contains(&failures), "{failures} runs fail");
}
