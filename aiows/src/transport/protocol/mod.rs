//! One connection's frames: control frames are handled as they arrive, messages are decoded when
//! there is room for them.

mod control;
mod decoder;

use std::collections::VecDeque;
use std::mem;

pub(crate) use self::control::PeerClose;
use self::control::{ControlFrame, Parsed};
use self::decoder::Decoder;
use super::Inbound;
use super::frame::{self, Scanner, Stop};
use crate::close::CloseCode;
use crate::codec::pool::Lease;
use crate::limits::Limits;

/// Control frames that are handled in one turn; what is behind them waits for the next.
const CONTROL_FRAMES_PER_TURN: usize = 64;

/// The inbound half of one connection's protocol, without a socket.
///
/// Control frames may stand between the fragments of a message. They are cut out of the bytes as
/// soon as they arrive, so that a ping is answered and a close is seen while messages wait to be
/// decoded.
#[derive(Debug)]
pub(crate) struct Protocol {
    /// None between two messages: a silent connection holds no buffer.
    decoder: Option<Box<Decoder>>,
    message_size: usize,
    scanner: Scanner,
    /// Bytes of data frames that the decoder has not been given, then bytes that are not scanned.
    backlog: Vec<u8>,
    /// How many bytes of the backlog are scanned.
    scanned: usize,
    input: Input,
    /// Set while more large messages are expected.
    lease: Option<Lease>,
}

/// Whether there may be more to find in what the peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// Everything is scanned but, at most, the beginning of a control frame.
    Scanned,
    /// Enough control frames were handled in this turn.
    Paused,
    /// The peer has closed or broken the protocol: nothing behind that is looked at.
    Over,
}

/// How much may be decoded; the last message may exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Room {
    pub(crate) const UNLIMITED: Self = Self { messages: usize::MAX, bytes: usize::MAX };
}

/// How the frames of a peer end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolEnd {
    Close(PeerClose),
    Failure(Failure),
}

/// The peer broke the protocol or a limit: the code to close with, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

impl Failure {
    const FRAGMENTS: Self =
        Self { code: CloseCode::TOO_LARGE, reason: "Too many fragments in a message" };
    const PROTOCOL: Self = Self { code: CloseCode::PROTOCOL, reason: "Protocol violation" };
    const SIZE: Self = Self { code: CloseCode::TOO_LARGE, reason: "Message too large" };
    const UTF8: Self = Self { code: CloseCode::INVALID_DATA, reason: "Invalid UTF-8" };
}

impl Protocol {
    /// Begins after the handshake; `leftover` is what the peer sent right behind it.
    pub(crate) fn new(limits: &Limits, leftover: &[u8]) -> Self {
        Self {
            decoder: None,
            message_size: limits.message_size,
            scanner: Scanner::new(limits.fragments, limits.message_size),
            backlog: leftover.to_vec(),
            scanned: 0,
            input: if leftover.is_empty() { Input::Scanned } else { Input::Paused },
            lease: None,
        }
    }

    /// Bytes that are read and not decoded, without the beginning of a message in the decoder.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Whether a message may be decoded without new bytes of the peer.
    pub(crate) fn has_undecoded(&self) -> bool {
        self.scanned > 0
    }

    /// Whether the turn ended before all control frames were handled.
    pub(crate) fn is_paused(&self) -> bool {
        self.input == Input::Paused
    }

    /// The number of the message whose end has not come, and how many of its bytes have.
    pub(crate) fn message_under_way(&self) -> Option<(u32, usize)> {
        let (number, size) = self.scanner.under_way().filter(|_| self.input != Input::Over)?;
        Some((number, usize::try_from(size).unwrap_or(usize::MAX)))
    }

    /// Whether the first part of a close frame has come, and the rest has not.
    pub(crate) fn has_begun_close(&self) -> bool {
        self.input == Input::Scanned && self.backlog.get(self.scanned) == Some(&frame::CLOSE)
    }

    /// Drops the beginning of a message, because no more messages are handled.
    pub(crate) fn drop_messages(&mut self) {
        self.decoder = None;
    }

    /// Drops everything that is not decoded.
    pub(crate) fn discard(&mut self) {
        self.drop_messages();
        self.end_input(0);
    }

    /// Takes what was read, hands every ping to `on_ping`, and decodes as many messages as
    /// there is room for.
    ///
    /// Returns how the peer's frames end, once, when that is found. Messages before the end may still
    /// have to be decoded, by further calls without bytes.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        room: Option<Room>,
        inbound: &mut VecDeque<Inbound>,
        on_ping: &mut dyn FnMut(&[u8]),
    ) -> Option<ProtocolEnd> {
        if let Some(room) = room
            && self.backlog.is_empty()
            && self.input != Input::Over
        {
            let (clean, stop) = self.scanner.scan(bytes);
            if stop.is_none() {
                return self.decode_new(bytes, room, inbound);
            }
            self.backlog.extend_from_slice(bytes);
            self.scanned = clean;
            let end = self.scan(stop, on_ping);
            return self.decode_backlog(Some(room), inbound).or(end);
        }
        let mut end = None;
        if self.input != Input::Over {
            self.backlog.extend_from_slice(bytes);
            end = self.scan(None, on_ping);
        }
        // A fault of a message comes before whatever the frames end with.
        self.decode_backlog(room, inbound).or(end)
    }

    /// Takes what was read after our close frame: only how the peer's frames end matters.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Option<ProtocolEnd> {
        self.drop_messages();
        let mut end = None;
        if self.input != Input::Over {
            self.backlog.extend_from_slice(bytes);
            end = self.scan(None, &mut |_| {});
        }
        self.backlog.drain(..self.scanned);
        self.scanned = 0;
        end
    }

    /// Decodes bytes of data frames without copying them first.
    fn decode_new(
        &mut self,
        mut bytes: &[u8],
        room: Room,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<ProtocolEnd> {
        let decoded = self.pump(&mut bytes, room, inbound);
        self.backlog.extend_from_slice(bytes);
        self.scanned = bytes.len();
        self.end_decoding(decoded)
    }

    fn decode_backlog(
        &mut self,
        room: Option<Room>,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<ProtocolEnd> {
        let Some(room) = room.filter(|_| self.has_undecoded()) else {
            return self.end_decoding(Ok(()));
        };
        let mut backlog = mem::take(&mut self.backlog);
        let mut bytes = &backlog[..self.scanned];
        let decoded = self.pump(&mut bytes, room, inbound);
        let used = self.scanned - bytes.len();
        backlog.drain(..used);
        self.scanned -= used;
        // An emptied backlog is not kept: idle connections hold no buffer.
        self.backlog = if backlog.is_empty() { Vec::new() } else { backlog };
        self.end_decoding(decoded)
    }

    fn end_decoding(&mut self, decoded: Result<(), Failure>) -> Option<ProtocolEnd> {
        if let Err(failure) = decoded {
            // A decoder that has failed must not be used again.
            self.discard();
            return Some(ProtocolEnd::Failure(failure));
        }
        if self.decoder.as_ref().is_some_and(|decoder| decoder.is_idle()) {
            self.decoder.take().into_iter().for_each(Decoder::give_back);
        }
        if self.input == Input::Over && !self.has_undecoded() {
            // The rest of what it has begun never comes.
            self.decoder = None;
        }
        None
    }

    /// Looks for control frames, handles them and takes them out of the backlog. `stop` is what the
    /// scan of the bytes before has found.
    fn scan(&mut self, stop: Option<Stop>, on_ping: &mut dyn FnMut(&[u8])) -> Option<ProtocolEnd> {
        let mut next = stop.map(|stop| (0, Some(stop)));
        // Bytes before `kept` stay; those up to `at` are handled.
        let (mut kept, mut at) = (self.scanned, self.scanned);
        self.input = Input::Paused;
        let mut end = None;
        for _ in 0..CONTROL_FRAMES_PER_TURN {
            let (clean, stop) =
                next.take().unwrap_or_else(|| self.scanner.scan(&self.backlog[at..]));
            self.backlog.copy_within(at..at + clean, kept);
            kept += clean;
            at += clean;
            match stop.map(|stop| self.read_control(stop, at)) {
                Some(Parsed::Frame { length, frame }) => {
                    at += length;
                    match frame {
                        ControlFrame::Ping(payload) => on_ping(payload.as_bytes()),
                        ControlFrame::Pong => {}
                        ControlFrame::Close(close) => end = Some(ProtocolEnd::Close(close)),
                    }
                }
                Some(Parsed::Invalid(failure)) => end = Some(ProtocolEnd::Failure(failure)),
                Some(Parsed::Incomplete) | None => self.input = Input::Scanned,
            }
            if end.is_some() || self.input == Input::Scanned {
                break;
            }
        }
        if end.is_none() && at == self.backlog.len() {
            self.input = Input::Scanned;
        }
        match end {
            Some(_) => self.end_input(kept),
            None => drop(self.backlog.drain(kept..at)),
        }
        self.scanned = kept;
        end
    }

    fn read_control(&self, stop: Stop, at: usize) -> Parsed {
        match stop {
            Stop::Control => control::parse(&self.backlog[at..]),
            Stop::Fragments => Parsed::Invalid(Failure::FRAGMENTS),
            Stop::Invalid => Parsed::Invalid(Failure::PROTOCOL),
            Stop::TooLarge => Parsed::Invalid(Failure::SIZE),
        }
    }

    /// Looks at nothing behind the first `kept` bytes of the backlog any more.
    fn end_input(&mut self, kept: usize) {
        self.input = Input::Over;
        self.backlog.truncate(kept);
        self.scanned = kept;
    }

    /// Decodes until the bytes or the room are used up.
    fn pump(
        &mut self,
        bytes: &mut &[u8],
        room: Room,
        inbound: &mut VecDeque<Inbound>,
    ) -> Result<(), Failure> {
        let decoder = self.decoder.get_or_insert_with(Decoder::take);
        let (mut messages, mut size) = (0, 0);
        while messages < room.messages && size < room.bytes {
            let Some(message) = decoder.decode(bytes, self.message_size)? else { break };
            messages += 1;
            size += message.bytes().len();
            inbound.push_back(message);
        }
        Ok(())
    }

    /// Keeps large buffers for further messages.
    pub(crate) fn keep_large(&mut self) {
        self.lease.get_or_insert_with(Lease::new);
    }

    pub(crate) fn keeps_large(&self) -> bool {
        self.lease.is_some()
    }

    /// Keeps no large buffers any more, because no large message has come for a while.
    pub(crate) fn release_large(&mut self) {
        self.lease = None;
    }
}

#[cfg(test)]
mod tests;
