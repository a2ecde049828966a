//! The phases of a session from open to ended.

use tokio::time::Instant;

use crate::protocol::{Failure, PeerClose};

/// The current use of the socket by the session. ARCHITECTURE.md has a diagram.
#[derive(Debug)]
pub(super) enum Phase {
    /// Messages are read and handled.
    Open,
    /// The client has closed or left. Its earlier messages are still handled, each until
    /// `handler_by`.
    Leaving {
        /// How the client's stream ended; `None` while bytes before the end are unread.
        end: Option<Box<ClientEnd>>,
        handler_by: Instant,
    },
    /// The server's close frame is queued, and the client's is awaited. In this phase and the next
    /// two, the deadline begins only when all frames are written, except for a slow client and a
    /// cut: a client that reads has as long as it needs for that.
    Closing { by: Option<Instant> },
    /// The server's close frame is queued. Bytes from the client are discarded until it ends its
    /// side.
    Failing { by: Option<Instant> },
    /// No more bytes are expected from the client. The queued frames are written.
    Flushing { by: Option<Instant> },
    /// No bytes can be read or written any more. A handler that is pending may run until the
    /// deadline.
    Ended { by: Instant },
}

/// How a client's side of the stream ended.
#[derive(Debug)]
pub(super) enum ClientEnd {
    /// With a close frame.
    Close(PeerClose),
    /// With bytes that the protocol forbids.
    Failure(Failure),
    /// Without a close frame.
    Finished,
    /// With a reset, so that no frame can be delivered to the client.
    Reset,
}

impl Phase {
    /// Whether handlers of messages run.
    pub(super) fn handles_messages(&self) -> bool {
        matches!(self, Self::Open | Self::Leaving { .. })
    }

    /// Whether more messages may still be read.
    pub(super) fn takes_messages(&self) -> bool {
        matches!(self, Self::Open | Self::Leaving { end: None, .. })
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Open => None,
            Self::Closing { by } | Self::Failing { by } | Self::Flushing { by } => *by,
            Self::Leaving { handler_by: by, .. } | Self::Ended { by } => Some(*by),
        }
    }
}
