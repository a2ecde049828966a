//! One connection's frames, decoded by tungstenite's state machine.

mod context;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use self::context::Feed;
use super::frame::{Scanner, Stop};
use super::{Inbound, Text};
use crate::close::{CloseCode, cut_reason};
use crate::limits::Limits;

/// The WebSocket state machine of one connection, without a socket.
///
/// Bytes go in through [`receive`](Self::receive); the frames it answers by itself (pong, close)
/// come out through a `Write` that always accepts.
#[derive(Debug)]
pub(crate) struct Protocol {
    /// None between two messages: a silent connection holds no buffer.
    context: Option<Box<WebSocketContext>>,
    message_size: usize,
    scanner: Scanner,
    /// Bytes of the peer the context has not been given.
    backlog: Vec<u8>,
    /// How many bytes of the backlog the context may be given.
    cleared: usize,
    /// A close frame lies in the backlog behind the cleared bytes.
    close_held: bool,
    /// What is wrong with the bytes behind the cleared ones.
    fault: Option<Failure>,
    /// The context may hold whole messages although it was given no new bytes.
    unfinished: bool,
    /// The context holds the buffer of a large message; it would keep it for ever.
    large: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// We sent the first close frame.
    Closing,
    /// Nothing is read any more.
    Ended,
}

/// The close frame of a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeerClose {
    pub(crate) code: Option<CloseCode>,
    pub(crate) reason: String,
    /// The code was one no endpoint may send, and was answered with 1002.
    pub(crate) illegal: bool,
}

/// The peer broke the protocol or a limit: the code to close with, and the reason.
#[derive(Debug, PartialEq, Eq)]
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

    fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::SIZE,
            Error::Utf8(_) => Self::UTF8,
            _ => Self::PROTOCOL,
        }
    }
}

impl Protocol {
    /// Begins after the handshake; `leftover` is what the peer sent right behind it.
    pub(crate) fn new(limits: &Limits, leftover: &[u8]) -> Self {
        Self {
            context: None,
            message_size: limits.message_size,
            scanner: Scanner::new(limits.fragments),
            backlog: leftover.to_vec(),
            cleared: 0,
            close_held: false,
            fault: None,
            unfinished: !leftover.is_empty(),
            large: false,
            state: State::Open,
        }
    }

    /// Whether there may be something to decode without new bytes of the peer.
    pub(crate) fn has_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Whether the peer has closed, and everything it said before is decoded.
    pub(crate) fn holds_close(&self) -> bool {
        self.close_held && !self.unfinished
    }

    /// Takes what was read and decodes at most `max` messages of it into `inbound`.
    ///
    /// A close frame is held back until [`receive_close`](Self::receive_close), so that messages
    /// before it can be answered: the context would answer it at once. After a failure the context
    /// must not be read again, only closed.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        max: usize,
        inbound: &mut VecDeque<Inbound>,
        control: &mut dyn Write,
    ) -> Result<Option<PeerClose>, Failure> {
        if self.backlog.is_empty() {
            let cleared = self.scan(bytes, 0);
            let mut feed = Feed { bytes: &bytes[..cleared], control };
            let closed = self.pump(&mut feed, max, inbound)?;
            let fed = cleared - feed.bytes.len();
            self.backlog.extend_from_slice(&bytes[fed..]);
            self.cleared = cleared - fed;
            return self.conclude(closed);
        }
        let mut backlog = mem::take(&mut self.backlog);
        backlog.extend_from_slice(bytes);
        let cleared = self.scan(&backlog, self.cleared);
        let mut feed = Feed { bytes: &backlog[..cleared], control };
        let closed = self.pump(&mut feed, max, inbound)?;
        let fed = cleared - feed.bytes.len();
        backlog.drain(..fed);
        self.cleared = cleared - fed;
        // An emptied backlog is not kept: idle connections hold no buffer.
        self.backlog = if backlog.is_empty() { Vec::new() } else { backlog };
        self.conclude(closed)
    }

    /// Tells a fault once everything before it is decoded.
    fn conclude(&mut self, closed: Option<PeerClose>) -> Result<Option<PeerClose>, Failure> {
        if !self.large && self.is_between_messages() {
            self.context.take().into_iter().for_each(context::give_back);
        }
        match self.fault.take_if(|_| !self.unfinished) {
            None => Ok(closed),
            Some(fault) => {
                self.state = State::Ended;
                Err(fault)
            }
        }
    }

    /// Lets the context have the close frame that was held back.
    pub(crate) fn receive_close(
        &mut self,
        control: &mut dyn Write,
    ) -> Result<Option<PeerClose>, Failure> {
        let backlog = mem::take(&mut self.backlog);
        let mut feed = Feed { bytes: &backlog, control };
        let closed = self.pump(&mut feed, usize::MAX, &mut VecDeque::new());
        self.close_held = closed.as_ref().is_ok_and(Option::is_none);
        self.backlog = feed.bytes.to_vec();
        closed
    }

    /// Sends our close frame; without effect when one was sent before.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, control: &mut dyn Write) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
        let frame =
            CloseFrame { code: WireCode::from(code.as_u16()), reason: cut_reason(reason).into() };
        // The only error is that the closing handshake is already complete.
        let _ = self.context().close(&mut Feed { bytes: &[], control }, Some(frame));
    }

    fn context(&mut self) -> &mut WebSocketContext {
        self.context.get_or_insert_with(|| context::take(self.message_size))
    }

    /// Whether the context has nothing to remember.
    fn is_between_messages(&self) -> bool {
        let whole = self.scanner.at_boundary() && self.backlog.is_empty() && !self.unfinished;
        whole && !self.close_held && self.state == State::Open
    }

    /// How much of `bytes` the context may have, when `known` of them were scanned before.
    fn scan(&mut self, bytes: &[u8], known: usize) -> usize {
        if self.close_held || self.fault.is_some() {
            return known;
        }
        // A peer's answer to our close frame needs no waiting.
        if self.state != State::Open {
            return bytes.len();
        }
        match self.scanner.scan(&bytes[known..]) {
            None => bytes.len(),
            Some(Stop::Close(at)) => {
                self.close_held = true;
                known + at
            }
            Some(Stop::Control(at)) => {
                self.fault = Some(Failure::PROTOCOL);
                known + at
            }
            Some(Stop::Fragments(at)) => {
                self.fault = Some(Failure::FRAGMENTS);
                known + at
            }
        }
    }

    fn pump(
        &mut self,
        feed: &mut Feed<'_>,
        max: usize,
        inbound: &mut VecDeque<Inbound>,
    ) -> Result<Option<PeerClose>, Failure> {
        if self.state == State::Ended {
            return Ok(None);
        }
        self.unfinished = true;
        for _ in 0..max {
            match self.context().read(feed) {
                Ok(Message::Text(text)) => inbound.push_back(Inbound::Text(Text::new(text))),
                Ok(Message::Binary(bytes)) => inbound.push_back(Inbound::Binary(bytes)),
                Ok(Message::Close(frame)) => {
                    self.answer_close(feed);
                    return Ok(Some(peer_close(frame)));
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unfinished = false;
                    return Ok(None);
                }
                Err(error) => {
                    self.state = State::Ended;
                    self.unfinished = false;
                    return Err(Failure::of(&error));
                }
            }
            self.large |= inbound.back().is_some_and(Inbound::is_large);
        }
        Ok(None)
    }

    /// Makes the context write its answer to a close frame.
    fn answer_close(&mut self, feed: &mut Feed<'_>) {
        self.state = State::Ended;
        self.unfinished = false;
        // It ends with `ConnectionClosed` by design.
        let _ = self.context().flush(feed);
    }

    /// Whether the context keeps a buffer that is larger than most messages need.
    pub(crate) fn has_grown(&self) -> bool {
        self.large
    }

    /// Gives a grown buffer back, unless a message is under way.
    pub(crate) fn shrink(&mut self) {
        if self.large && self.is_between_messages() {
            self.large = false;
            self.context = None;
        }
    }
}

fn peer_close(frame: Option<CloseFrame>) -> PeerClose {
    let illegal = frame.as_ref().is_some_and(|frame| {
        frame.code == WireCode::Protocol && frame.reason.as_str() == "Protocol violation"
    });
    PeerClose {
        code: frame.as_ref().map(|frame| CloseCode::from(u16::from(frame.code))),
        reason: frame.map(|frame| frame.reason.as_str().to_owned()).unwrap_or_default(),
        illegal,
    }
}

#[cfg(test)]
mod tests;
