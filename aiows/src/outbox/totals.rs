//! What was sent to one peer, and to all of them.

use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::stuck::StuckQueues;
use super::{Outbox, State};

/// Counts of the messages to one peer, or to all peers of a server.
///
/// At every moment `queued` is the sum of `sent`, `dropped` and `pending`. Control frames are no
/// messages.
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
    /// Messages that were accepted: every send that returned `Ok`, and every answer.
    pub queued: u64,
    /// Messages that were handed to the socket whole.
    pub sent: u64,
    /// Messages that were accepted and will not be sent: a policy dropped them, a newer one replaced
    /// them, or the connection ended before them.
    pub dropped: u64,
    /// Those among the dropped that a newer message replaced.
    pub replaced: u64,
    /// Messages that wait, the one included that is partly written.
    pub pending: u64,
    /// Bytes of payload of the messages that wait.
    pub pending_bytes: u64,
    /// Most messages that have waited at once; of all peers, the one with the most.
    pub peak: u64,
    /// Bytes that were handed to the socket, with frame headers and control frames.
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

/// What all outboxes of a server share.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Bytes that wait for sockets that refuse them.
    pub(super) stuck: StuckQueues,
    /// The counts of the connections that have ended. Locked before any outbox.
    ended: Mutex<Outbound>,
}

impl Totals {
    pub(super) fn lock(&self) -> MutexGuard<'_, Outbound> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds up the connections that have ended and those in `live`, each of them once.
    pub(crate) fn with<'a>(&self, live: impl IntoIterator<Item = &'a Outbox>) -> Outbound {
        let ended = self.lock();
        let mut sum = *ended;
        for outbox in live {
            let state = outbox.lock();
            if !state.lifecycle.has_ended() {
                sum += state.outbound();
            }
        }
        sum
    }
}

impl State {
    /// Tells the totals what waits here; nothing to do while the socket takes everything.
    #[inline]
    pub(super) fn account(&mut self, totals: &Totals) {
        if self.blocked || self.stuck.is_some() {
            self.account_stuck(&totals.stuck);
        }
    }

    pub(super) fn outbound(&self) -> Outbound {
        let counts = self.queue.counts();
        let pending = self.queue.messages() as u64;
        Outbound {
            queued: counts.queued,
            sent: counts.queued - counts.dropped - pending,
            dropped: counts.dropped,
            replaced: counts.replaced,
            pending,
            pending_bytes: self.queue.size() as u64,
            peak: self.queue.peak().into(),
            written: self.queue.written(),
        }
    }
}
