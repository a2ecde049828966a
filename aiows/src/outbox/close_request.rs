//! What a session is to do about the end of its connection.

use std::time::Duration;

use crate::close::{CloseCode, DisconnectReason};
use crate::error::{Closing, closing};

/// A request to the session to close its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloseRequest {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    /// What the disconnect handlers see.
    pub(crate) because: DisconnectReason,
    pub(crate) mode: CloseMode,
    /// How long a drain lets the client answer and make room for the handlers that are pending.
    pub(crate) grace: Duration,
}

/// How a connection is closed, the most patient mode first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CloseMode {
    /// Accepted messages are answered first.
    Drain,
    /// At once, with a closing handshake.
    Handshake,
    /// At once; handlers are dropped and the client's close frame is not awaited.
    Cut,
}

impl CloseRequest {
    /// Closes with a closing handshake; `because` is what the disconnect handlers see.
    pub(crate) fn handshake(
        code: CloseCode,
        reason: impl Into<String>,
        because: DisconnectReason,
    ) -> Self {
        let reason = reason.into();
        Self { code, reason, because, mode: CloseMode::Handshake, grace: Duration::ZERO }
    }

    /// Closes because the server stops.
    pub(crate) fn shutdown(mode: CloseMode) -> Self {
        Self {
            code: closing::SHUTDOWN.code,
            reason: closing::SHUTDOWN.reason.into(),
            because: DisconnectReason::Shutdown,
            mode,
            grace: Duration::ZERO,
        }
    }

    /// Closes because the server stops, once the accepted messages are answered.
    pub(crate) fn drain(grace: Duration) -> Self {
        Self { grace, ..Self::shutdown(CloseMode::Drain) }
    }

    pub(crate) fn slow_consumer() -> Self {
        let Closing { code, reason } = closing::SLOW_CLIENT;
        Self::handshake(code, reason, DisconnectReason::SlowConsumer)
    }

    /// A drain waits until every accepted message is answered.
    pub(super) fn is_due(&self, accepted: AcceptedMessages) -> bool {
        accepted == AcceptedMessages::Answered || self.mode != CloseMode::Drain
    }
}

/// What the session has to do about a request to close.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CloseOrder {
    /// There is no request.
    None,
    /// Answer the accepted messages and take no more of them.
    Drain,
    /// Send this close frame now.
    Close(Box<CloseRequest>),
    /// The close frame is queued already, or the stream is gone; wait for nobody.
    Cut,
}

/// Whether the messages that a session has accepted are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedMessages {
    Answered,
    Pending,
}
