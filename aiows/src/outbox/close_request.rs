//! Requests to close a connection, and the orders that its session derives from them.

use std::time::Duration;

use crate::close::{CloseCode, DisconnectReason};
use crate::error::{Closing, closing};

/// A request to the session to close its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloseRequest {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    /// The reason that the disconnect handlers see.
    pub(crate) because: DisconnectReason,
    pub(crate) mode: CloseMode,
    /// In a drain, how long the client may take to answer pending requests and to make room in the
    /// queue.
    pub(crate) grace: Duration,
}

/// How quickly a connection is closed, the slowest mode first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CloseMode {
    /// Accepted messages are answered first.
    Drain,
    /// Closed at once, with a closing handshake.
    Handshake,
    /// Closed at once; handlers are dropped, and the client's close frame is not awaited.
    Cut,
}

impl CloseRequest {
    /// Closes with a closing handshake; `because` is the reason that the disconnect handlers see.
    pub(crate) fn handshake(
        code: CloseCode,
        reason: impl Into<String>,
        because: DisconnectReason,
    ) -> Self {
        let reason = reason.into();
        Self { code, reason, because, mode: CloseMode::Handshake, grace: Duration::ZERO }
    }

    /// Closes because the server shuts down.
    pub(crate) fn shutdown(mode: CloseMode) -> Self {
        Self {
            code: closing::SHUTDOWN.code,
            reason: closing::SHUTDOWN.reason.into(),
            because: DisconnectReason::Shutdown,
            mode,
            grace: Duration::ZERO,
        }
    }

    /// Closes because the server shuts down, once the accepted messages are answered.
    pub(crate) fn drain(grace: Duration) -> Self {
        Self { grace, ..Self::shutdown(CloseMode::Drain) }
    }

    pub(crate) fn slow_consumer() -> Self {
        let Closing { code, reason } = closing::SLOW_CLIENT;
        Self::handshake(code, reason, DisconnectReason::SlowConsumer)
    }

    /// Whether the request can be carried out now; a drain waits until every accepted message is
    /// answered.
    pub(super) fn is_due(&self, accepted: AcceptedMessages) -> bool {
        accepted == AcceptedMessages::Answered || self.mode != CloseMode::Drain
    }
}

/// The session's next action for a request to close.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CloseOrder {
    /// There is no request.
    None,
    /// Answer the accepted messages, and accept no more.
    Drain,
    /// Close the connection now. The close frame is queued; `dropped` messages before it are not
    /// sent, because the client is too slow for them.
    Close { request: Box<CloseRequest>, dropped: usize },
    /// The close frame is queued already, or the stream has ended: stop waiting for the client and
    /// for handlers.
    Cut,
}

/// Whether all messages that a session has accepted are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedMessages {
    Answered,
    Pending,
}
