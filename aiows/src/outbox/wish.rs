use crate::close::{CloseCode, DisconnectReason, cut_reason};

/// A request to the session to close the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloseWish {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    pub(crate) because: DisconnectReason,
    pub(crate) manner: Manner,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Manner {
    /// What was received before is handled first.
    Graceful,
    /// With a closing handshake, at once.
    Prompt,
    /// Without one: the socket is dropped, handlers too.
    Cut,
}

impl CloseWish {
    pub(crate) fn application(code: CloseCode, reason: &str) -> Self {
        let reason = cut_reason(reason).to_owned();
        let because = DisconnectReason::Closed { code, reason: reason.clone() };
        Self { code, reason, because, manner: Manner::Prompt }
    }

    pub(crate) fn shutdown() -> Self {
        Self {
            code: CloseCode::AWAY,
            reason: "Server shutdown".into(),
            because: DisconnectReason::Shutdown,
            manner: Manner::Graceful,
        }
    }

    pub(crate) fn cut() -> Self {
        Self { manner: Manner::Cut, ..Self::shutdown() }
    }

    pub(crate) fn slow_consumer() -> Self {
        Self {
            code: CloseCode::POLICY,
            reason: "Slow client detected".into(),
            because: DisconnectReason::SlowConsumer,
            manner: Manner::Prompt,
        }
    }

    /// A graceful wish waits until nothing is being handled.
    pub(super) fn is_due(&self, idle: bool) -> bool {
        idle || self.manner != Manner::Graceful
    }
}
