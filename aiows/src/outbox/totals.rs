//! Counts of the messages to one client, and to all clients of a server.

use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::blocked::BlockedQueues;
use super::{Outbox, State};

/// Counts of the messages to one client, or to all clients of a server.
///
/// At any time `queued` is the sum of `sent`, `dropped` and `pending`. Control frames are not
/// counted as messages. You get the counts of one connection from
/// [`WebSocket::outbound`](crate::WebSocket::outbound).
///
/// ```
/// use aiows::Message;
/// use serde::Serialize;
///
/// #[derive(Message, Serialize)]
/// struct Tick {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> aiows::Result {
/// let (ws, _sent) = aiows::testing::socket();
/// ws.send(&Tick {}).await?;
/// let outbound = ws.outbound();
/// assert_eq!((outbound.queued, outbound.pending, outbound.sent), (1, 1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Outbound {
    /// Messages that were accepted: every send that returned `Ok`, and every answer of a handler.
    pub queued: u64,
    /// Messages that were handed to the socket completely.
    pub sent: u64,
    /// Messages that were accepted but will not be sent, because a policy dropped them, a newer
    /// message replaced them, or the connection ended first.
    pub dropped: u64,
    /// Dropped messages that a newer message replaced; they are included in `dropped`.
    pub replaced: u64,
    /// Messages that wait, including one that is partly written.
    pub pending: u64,
    /// Bytes of payload in the messages that wait.
    pub pending_bytes: u64,
    /// The most messages that have waited at once. For all clients together, it is the highest of
    /// their peaks.
    pub peak: u64,
    /// Bytes that were handed to the socket, including frame headers and control frames.
    pub written: u64,
}

impl AddAssign for Outbound {
    fn add_assign(&mut self, other: Self) {
        self.queued += other.queued;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.replaced += other.replaced;
        self.pending += other.pending;
        self.pending_bytes += other.pending_bytes;
        self.peak = self.peak.max(other.peak);
        self.written += other.written;
    }
}

/// The counts that all outboxes of a server share.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Bytes that wait for blocked sockets.
    pub(super) blocked: BlockedQueues,
    /// The counts of the connections that have ended. Locked before any outbox.
    ended: Mutex<Outbound>,
}

impl Totals {
    pub(super) fn lock(&self) -> MutexGuard<'_, Outbound> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds up the connections that have ended and those in `live`, counting each of them once.
    pub(crate) fn with<'a>(&self, live: impl IntoIterator<Item = &'a Outbox>) -> Outbound {
        let ended = self.lock();
        let mut sum = *ended;
        for outbox in live {
            let state = outbox.lock();
            if !state.lifecycle.has_ended() {
                sum += state.queue.outbound();
            }
        }
        sum
    }
}

impl State {
    /// Updates the total of blocked sockets, unless the socket takes all bytes.
    #[inline]
    pub(super) fn account(&mut self, totals: &Totals) {
        if self.is_blocked || self.blocked_queue.is_some() {
            self.account_blocked(&totals.blocked);
        }
    }
}
