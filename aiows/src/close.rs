//! Close codes, close reasons, and the reasons for which a connection ends.

use std::fmt;

/// The longest close reason that fits a control frame, in bytes.
// RFC 6455 section 5.5: a control frame carries at most 125 bytes, two of them are the code.
pub(crate) const MAX_REASON: usize = 123;

/// A WebSocket close code.
///
/// Source: RFC 6455 section 7.4. The codes from 4000 to 4999 are for applications.
///
/// ```
/// use aiows::CloseCode;
///
/// assert_eq!(CloseCode::NORMAL.as_u16(), 1000);
/// assert_eq!(CloseCode::from(4001).to_string(), "4001");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled (1000).
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the browser leaves the page (1001).
    pub const AWAY: Self = Self(1001);
    /// The client violated the WebSocket protocol (1002).
    pub const PROTOCOL: Self = Self(1002);
    /// The client sent a kind of data that the server does not accept (1003).
    pub const UNSUPPORTED: Self = Self(1003);
    /// A text message was not UTF-8 (1007).
    pub const INVALID_DATA: Self = Self(1007);
    /// The client violated a rule of the application; also used for slow clients (1008).
    pub const POLICY: Self = Self(1008);
    /// A message was larger than allowed (1009).
    pub const TOO_LARGE: Self = Self(1009);
    /// The server failed (1011).
    pub const INTERNAL: Self = Self(1011);
    /// The server is overloaded; try again later (1013).
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Returns the code as it stands on the wire.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns this code, or 1011 if it must not be sent.
    pub(crate) const fn or_internal(self) -> Self {
        if self.is_sendable() { self } else { Self::INTERNAL }
    }

    /// Returns whether an endpoint may send this code in a close frame.
    // RFC 6455 section 7.4: 1004 to 1006 and 1015 are never sent, 1016 to 2999 are unassigned.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reason for which a connection ended, for disconnect handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client closed the connection, with a close frame or by ending the stream.
    Peer {
        /// The code of the close frame. `None` if the stream ended without a close frame, or if the
        /// frame has no code, as after `ws.close()` in a browser.
        code: Option<CloseCode>,
        /// The reason of the close frame. Empty if there was none.
        reason: String,
    },
    /// The application closed the connection, with `WebSocket::close` or with an error that has a
    /// close code.
    Closed {
        /// The code that was sent.
        code: CloseCode,
        /// The reason that was sent.
        reason: String,
    },
    /// The server shut down.
    Shutdown,
    /// The client sent no bytes within the ping timeout after a ping.
    Timeout,
    /// The client did not read the messages that were sent to it.
    SlowConsumer,
    /// A connect handler failed.
    ConnectFailed,
    /// The client violated the protocol or a size limit, and this code was sent to it.
    Protocol {
        /// The code that was sent.
        code: CloseCode,
    },
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer { code: None, .. } => f.write_str("connection lost"),
            Self::Peer { code: Some(code), reason } => {
                with_reason(f, "closed by peer", *code, reason)
            }
            Self::Closed { code, reason } => with_reason(f, "closed", *code, reason),
            Self::Shutdown => f.write_str("Server shutdown"),
            Self::Timeout => f.write_str("timed out"),
            Self::SlowConsumer => f.write_str("slow consumer"),
            Self::ConnectFailed => f.write_str("connect handler failed"),
            Self::Protocol { code } => write!(f, "protocol violation ({code})"),
        }
    }
}

fn with_reason(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    code: CloseCode,
    reason: &str,
) -> fmt::Result {
    write!(f, "{what} ({code})")?;
    if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
}

/// Cuts a close reason to the length that fits a close frame, at a character boundary.
pub(crate) fn cut_reason(reason: &str) -> &str {
    // `str::floor_char_boundary` is newer than the oldest supported compiler.
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_on_a_character_boundary() {
        let reason = format!("{}é", "x".repeat(122));
        assert_eq!(cut_reason(&reason), "x".repeat(122));
        assert_eq!(cut_reason("short"), "short");
    }

    #[test]
    fn reserved_codes_are_not_sendable() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(!CloseCode::from(code).is_sendable(), "{code}");
        }
        for code in [1000, 1001, 1011, 1013, 3000, 4401, 4999] {
            assert!(CloseCode::from(code).is_sendable(), "{code}");
        }
    }

    #[test]
    fn a_disconnect_reason_reads_as_a_sentence() {
        let left = DisconnectReason::Peer { code: Some(CloseCode::NORMAL), reason: "bye".into() };
        assert_eq!(left.to_string(), "closed by peer (1000): bye");
        assert_eq!(DisconnectReason::Shutdown.to_string(), "Server shutdown");
    }
}
