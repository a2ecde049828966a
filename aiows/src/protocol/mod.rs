//! One connection's frames: control frames are handled here, messages are decoded by tungstenite.

#[cfg(feature = "test-util")]
pub(crate) mod client;
mod context;
mod control;
mod frame;
mod inbound;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::mem;

use tokio_tungstenite::tungstenite::protocol::WebSocketContext;
use tokio_tungstenite::tungstenite::{Error, Message};

use self::context::{Feed, Grown};
pub(crate) use self::control::PeerClose;
use self::control::{ControlFrame, Parsed};
pub(crate) use self::frame::{
    FRAGMENT, HEADROOM, LAST_FRAGMENT, NEXT_FRAGMENT, Opcode, close_frame, first_fragment,
    ping_frame, pong_frame, write_header,
};
use self::frame::{Scanner, Stop};
pub(crate) use self::inbound::{Inbound, Text};
use crate::close::CloseCode;
use crate::error::{Closing, closing};
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
    context: Option<Box<WebSocketContext>>,
    scanner: Scanner,
    /// Bytes of data frames that the context has not been given, then bytes that are not scanned.
    backlog: Vec<u8>,
    /// How many bytes of the backlog are scanned.
    scanned: usize,
    input: Input,
    /// The context may hold whole messages although it was given no new bytes.
    unfinished: bool,
    /// Messages decoded so far, as the scanner counts those that have begun.
    decoded: u32,
    /// What a large message has made of the context's buffer.
    grown: Option<Grown>,
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

/// How the peer broke the protocol or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Protocol,
    /// The message is larger than this.
    TooLarge(usize),
    /// The message has more fragments than this.
    TooManyFragments(usize),
    Utf8,
}

impl Failure {
    fn of(error: &Error, message_size: usize) -> Self {
        match error {
            Error::Capacity(_) => Self::TooLarge(message_size),
            Error::Utf8(_) => Self::Utf8,
            _ => Self::Protocol,
        }
    }

    fn closing(self) -> Closing {
        match self {
            Self::Protocol => closing::PROTOCOL,
            Self::TooLarge(_) => closing::TOO_LARGE,
            Self::TooManyFragments(_) => closing::TOO_MANY_FRAGMENTS,
            Self::Utf8 => closing::NOT_UTF8,
        }
    }

    pub(crate) fn code(self) -> CloseCode {
        self.closing().code
    }

    /// Returns the close reason. It names the limit for clients that send the same message again after
    /// each reconnect.
    pub(crate) fn reason(self) -> Cow<'static, str> {
        match self {
            Self::TooLarge(limit) | Self::TooManyFragments(limit) => {
                self.closing().with(&limit.to_string()).into()
            }
            Self::Protocol | Self::Utf8 => self.closing().reason.into(),
        }
    }
}

impl Protocol {
    /// Begins after the handshake; `leftover` is what the peer sent right behind it.
    pub(crate) fn new(limits: &Limits, leftover: &[u8]) -> Self {
        Self {
            context: None,
            scanner: Scanner::new(limits.fragments, limits.message_size),
            backlog: leftover.to_vec(),
            scanned: 0,
            input: if leftover.is_empty() { Input::Scanned } else { Input::Paused },
            unfinished: false,
            decoded: 0,
            grown: None,
        }
    }

    /// Bytes that are read and not decoded, without the beginning of a message in the context.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Whether a message may be decoded without new bytes of the peer.
    pub(crate) fn has_undecoded(&self) -> bool {
        self.scanned > 0 || self.unfinished
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
        self.drop_context();
        self.unfinished = false;
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
        bytes: &[u8],
        room: Room,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<ProtocolEnd> {
        let mut feed = Feed { bytes };
        let failure = self.pump(&mut feed, room, inbound);
        self.backlog.extend_from_slice(feed.bytes);
        self.scanned = feed.bytes.len();
        self.settle(failure)
    }

    fn decode_backlog(
        &mut self,
        room: Option<Room>,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<ProtocolEnd> {
        let Some(room) = room.filter(|_| self.has_undecoded()) else {
            return self.settle(None);
        };
        let mut backlog = mem::take(&mut self.backlog);
        let mut feed = Feed { bytes: &backlog[..self.scanned] };
        let failure = self.pump(&mut feed, room, inbound);
        let fed = self.scanned - feed.bytes.len();
        backlog.drain(..fed);
        self.scanned -= fed;
        // An emptied backlog is not kept: idle connections hold no buffer.
        self.backlog = if backlog.is_empty() { Vec::new() } else { backlog };
        self.settle(failure)
    }

    fn settle(&mut self, failure: Option<Failure>) -> Option<ProtocolEnd> {
        if let Some(failure) = failure {
            // A context that has failed must not be read again.
            self.discard();
            return Some(ProtocolEnd::Failure(failure));
        }
        if self.grown.is_none() && self.is_between_messages() {
            self.context.take().into_iter().for_each(context::give_back);
        }
        if self.input == Input::Over && !self.has_undecoded() {
            // It may hold the beginning of a message, which no other connection must get.
            self.drop_context();
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
            Stop::Fragments => {
                Parsed::Invalid(Failure::TooManyFragments(self.scanner.max_fragments()))
            }
            Stop::Invalid => Parsed::Invalid(Failure::Protocol),
            Stop::TooLarge => Parsed::Invalid(Failure::TooLarge(self.scanner.message_size())),
        }
    }

    /// Looks at nothing behind the first `kept` bytes of the backlog any more.
    fn end_input(&mut self, kept: usize) {
        self.input = Input::Over;
        self.backlog.truncate(kept);
        self.scanned = kept;
    }

    /// Whether the context has nothing to remember.
    fn is_between_messages(&self) -> bool {
        self.scanner.at_boundary() && !self.has_undecoded() && self.input != Input::Over
    }

    fn pump(
        &mut self,
        feed: &mut Feed<'_>,
        room: Room,
        inbound: &mut VecDeque<Inbound>,
    ) -> Option<Failure> {
        let message_size = self.scanner.message_size();
        let context = self.context.get_or_insert_with(|| context::take(message_size));
        self.unfinished = true;
        let (mut messages, mut bytes) = (0, 0);
        while self.unfinished && messages < room.messages && bytes < room.bytes {
            match context.read(feed) {
                Ok(Message::Text(text)) => inbound.push_back(Inbound::Text(Text::new(text))),
                Ok(Message::Binary(binary)) => inbound.push_back(Inbound::Binary(binary)),
                // It is given no control frames.
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
                self.grown.get_or_insert_with(|| Grown::new(size)).grow(size);
            }
            // Looked at here, because reading until nothing comes costs another read.
            self.unfinished = !(self.scanner.at_boundary() && self.scanner.begun() == self.decoded);
        }
        None
    }

    /// Whether the context keeps a buffer that is larger than most messages need.
    pub(crate) fn has_grown(&self) -> bool {
        self.grown.is_some()
    }

    /// Keeps a grown buffer for further messages; `false` if other connections keep as much as
    /// all may.
    pub(crate) fn keep_grown(&mut self) -> bool {
        self.grown.as_mut().is_none_or(Grown::keep)
    }

    /// Gives a grown buffer back, unless a message is under way.
    pub(crate) fn shrink(&mut self) {
        if self.grown.is_some() && self.is_between_messages() {
            self.drop_context();
        }
    }

    fn drop_context(&mut self) {
        self.context = None;
        self.grown = None;
    }
}

#[cfg(test)]
mod tests;
