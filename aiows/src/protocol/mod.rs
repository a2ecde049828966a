//! The frames of one connection (RFC 6455). This module handles control frames, and tungstenite
//! decodes the messages.
//!
//! [`Protocol`] has the inbound half of a connection. `frame` writes the headers of outbound
//! frames.

#[cfg(feature = "test-util")]
pub(crate) mod client; // the client of the test kit
mod context; // the decoding contexts that connections share
mod control; // parses control frames
mod decode; // decodes messages
mod failure; // violations of the protocol
mod frame; // frame headers, and the boundaries of inbound frames
mod inbound; // messages as they arrive

use tokio_tungstenite::tungstenite::protocol::WebSocketContext;

use self::context::GrownBuffer;
pub(crate) use self::control::PeerClose;
use self::control::{ControlFrame, Parsed};
pub(crate) use self::failure::Failure;
pub(crate) use self::frame::{
    FRAGMENT, HEADROOM, LAST_FRAGMENT, NEXT_FRAGMENT, Opcode, close_frame, first_fragment,
    ping_frame, pong_frame, write_header,
};
use self::frame::{Scanner, Stop};
pub(crate) use self::inbound::Inbound;
use crate::limits::Limits;

/// The control frames that are handled in one turn. Those behind them wait for the next turn.
const CONTROL_FRAMES_PER_TURN: usize = 64;

/// The inbound half of one connection's protocol, without a socket. Its methods that decode
/// messages are in `decode`.
///
/// Control frames may be sent between the fragments of a message. They are removed from the bytes
/// as soon as they arrive, so that a ping is answered and a close frame is noticed while messages
/// wait to be decoded.
#[derive(Debug)]
pub(crate) struct Protocol {
    /// `None` between two messages, so that an idle connection holds no buffer.
    context: Option<Box<WebSocketContext>>,
    scanner: Scanner,
    /// Bytes of data frames that the context has not decoded, followed by bytes that are not
    /// scanned.
    backlog: Vec<u8>,
    /// The number of bytes of the backlog that are scanned.
    scanned: usize,
    input: Input,
    /// Set if the context may hold whole messages although it received no new bytes.
    unfinished: bool,
    /// The number of messages decoded so far, to compare with the scanner's count of started
    /// messages.
    decoded: u32,
    /// The buffer of the context after a large message, until it is shrunk.
    grown: Option<GrownBuffer>,
}

/// Whether the bytes of the peer may contain more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// All bytes are scanned, except perhaps the start of a control frame.
    Scanned,
    /// The limit of control frames in this turn is reached.
    Paused,
    /// The peer has sent a close frame or violated the protocol. Bytes behind that are ignored.
    Over,
}

/// How much may be decoded. The last message may exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodeLimit {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl DecodeLimit {
    pub(crate) const UNLIMITED: Self = Self { messages: usize::MAX, bytes: usize::MAX };
}

/// The event that ends the frames of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolEnd {
    Close(PeerClose),
    Failure(Failure),
}

impl Protocol {
    /// Starts after the handshake. `leftover` are the bytes that the peer sent right behind it.
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

    /// Returns the number of bytes that were read and not decoded, except those of an unfinished
    /// message in the context.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Returns whether a message may be decoded without new bytes of the peer.
    pub(crate) fn has_undecoded(&self) -> bool {
        self.scanned > 0 || self.unfinished
    }

    /// Returns whether the turn ended before all control frames were handled.
    pub(crate) fn is_paused(&self) -> bool {
        self.input == Input::Paused
    }

    /// Returns the number of the unfinished message, and how many of its bytes have arrived.
    pub(crate) fn message_under_way(&self) -> Option<(u32, usize)> {
        let (number, size) = self.scanner.under_way().filter(|_| self.input != Input::Over)?;
        Some((number, usize::try_from(size).unwrap_or(usize::MAX)))
    }

    /// Returns whether the first part of a close frame has arrived, and the rest has not.
    pub(crate) fn has_begun_close(&self) -> bool {
        self.input == Input::Scanned && self.backlog.get(self.scanned) == Some(&frame::CLOSE)
    }

    /// Drops the start of a message, because no more messages are handled.
    pub(crate) fn drop_messages(&mut self) {
        self.drop_context();
        self.unfinished = false;
    }

    /// Drops all bytes that are not decoded.
    pub(crate) fn discard(&mut self) {
        self.drop_messages();
        self.end_input(0);
    }

    /// Takes bytes that arrive after our close frame. Only the end of the peer's frames matters
    /// then.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Option<ProtocolEnd> {
        self.drop_messages();
        let end = self.scan(bytes, None, &mut |_| {});
        self.backlog.drain(..self.scanned);
        self.scanned = 0;
        end
    }

    /// Adds new bytes to the backlog, handles the control frames in it and removes them. `stop` is
    /// the result of a scan of the bytes before.
    fn scan(
        &mut self,
        bytes: &[u8],
        stop: Option<Stop>,
        on_ping: &mut dyn FnMut(&[u8]),
    ) -> Option<ProtocolEnd> {
        if self.input == Input::Over {
            return None;
        }
        self.backlog.extend_from_slice(bytes);
        let mut next = stop.map(|stop| (0, Some(stop)));
        // Bytes before `kept` remain; bytes from `kept` to `at` are handled.
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

    /// Ignores all bytes behind the first `kept` bytes of the backlog from now on.
    fn end_input(&mut self, kept: usize) {
        self.input = Input::Over;
        self.backlog.truncate(kept);
        self.scanned = kept;
    }
}

#[cfg(test)]
mod tests;
