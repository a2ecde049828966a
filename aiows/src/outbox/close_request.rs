use crate::close::{CloseCode, DisconnectReason, cut_reason};

/// A request to the session to close its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloseRequest {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    /// What the disconnect handlers see.
    pub(crate) because: DisconnectReason,
    pub(crate) mode: CloseMode,
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
    pub(crate) fn application(code: CloseCode, reason: &str) -> Self {
        let reason = cut_reason(reason).to_owned();
        let because = DisconnectReason::Closed { code, reason: reason.clone() };
        Self { code, reason, because, mode: CloseMode::Handshake }
    }

    /// Closes because the server stops.
    pub(crate) fn shutdown(mode: CloseMode) -> Self {
        Self {
            code: CloseCode::AWAY,
            reason: "Server shutdown".into(),
            because: DisconnectReason::Shutdown,
            mode,
        }
    }

    pub(crate) fn slow_consumer() -> Self {
        Self {
            code: CloseCode::POLICY,
            reason: "Slow client detected".into(),
            because: DisconnectReason::SlowConsumer,
            mode: CloseMode::Handshake,
        }
    }
}
