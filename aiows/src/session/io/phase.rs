use tokio::time::Instant;

use crate::protocol::{Failure, PeerClose};

/// How far the session is on its way to the end; ARCHITECTURE.md has the diagram.
#[derive(Debug)]
pub(super) enum Phase {
    /// Messages are read and handled.
    Open,
    /// The client has closed or left; its messages before that are still handled, each until
    /// `handler_by`.
    Leaving {
        /// How its stream ended; `None` while bytes before the end are unread.
        end: Option<Box<ClientEnd>>,
        handler_by: Instant,
    },
    /// Our close frame is queued, and the client's is awaited. In this phase and the next two there
    /// is no deadline until everything is written, except for a slow client and a cut: before, a
    /// client that reads has as long as it needs.
    Closing { by: Option<Instant> },
    /// Our close frame is queued; what the client still sends is discarded until it ends its side.
    Failing { by: Option<Instant> },
    /// Nothing more is expected of the client; what is queued for it is written.
    Flushing { by: Option<Instant> },
    /// Nothing can be read or written any more; a handler that is pending has until the deadline.
    Ended { by: Instant },
}

/// How a client's side of the stream ended.
#[derive(Debug)]
pub(super) enum ClientEnd {
    /// With a close frame.
    Close(PeerClose),
    /// With bytes that are not allowed.
    Failure(Failure),
    /// Without a close frame.
    Finished,
    /// With a reset: nothing can be delivered to it.
    Reset,
}

impl Phase {
    /// Whether messages are handed to their handlers.
    pub(super) fn handles_messages(&self) -> bool {
        matches!(self, Self::Open | Self::Leaving { .. })
    }

    /// Whether bytes of messages may still arrive.
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
