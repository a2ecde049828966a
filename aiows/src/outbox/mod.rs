//! The bounded queue of outbound messages of one connection, and the only writer of its socket.
//!
//! Any task may append to the queue under its lock. The session writes it to the socket; over plain
//! TCP, a publisher writes as well while the session sleeps. The outbox also holds the
//! [`Lifecycle`] of the connection.

mod blocked; // the limit on the bytes that wait for all blocked sockets together
mod close_request; // requests to close the connection, and the session's orders
mod drop_log; // log lines about dropped messages
mod flush; // writing the queue to the socket
mod lifecycle; // the state of the connection from open to ended
mod offer; // the way of every message into the queue
mod policy; // the limits of the queue, and the action for a message beyond them
mod push; // messages to one client
mod queue; // the frames that wait, in the order in which they are written
mod shared; // messages to many clients, encoded once
#[cfg(test)]
mod tests;
mod totals; // counts for one client and for the whole server
mod waiters; // senders that wait until the queue has room

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use self::blocked::BlockedQueue;
pub(crate) use self::close_request::{AcceptedMessages, CloseMode, CloseOrder, CloseRequest};
use self::drop_log::DropBurst;
use self::lifecycle::{Lifecycle, Mirror};
pub(crate) use self::offer::OfferResult;
use self::policy::{AfterUnlock, Bounds};
pub(crate) use self::policy::{Attempts, When};
use self::queue::Queue;
pub(crate) use self::shared::SharedFrame;
pub use self::totals::Outbound;
pub(crate) use self::totals::Totals;
use self::waiters::Waiters;
use crate::id::ConnectionId;
use crate::limits::Limits;
use crate::protocol::{ping_frame, pong_frame};
use crate::transport::TcpWriter;

/// The queue of one connection, with the state that its writers share.
///
/// The methods are spread over `mod.rs` (state and control frames), `push.rs`, `shared.rs`,
/// `flush.rs` and `lifecycle.rs`.
///
/// Any task appends under the lock, which is never held across an await. Only the session waits for
/// the socket. No frame is queued behind a close frame.
#[derive(Debug)]
pub(crate) struct Outbox {
    id: ConnectionId,
    state: Mutex<State>,
    /// The part of the lifecycle that is read without the lock; changed under it.
    mirror: Mirror,
    /// Whether the session has stored its waker since it last checked for orders. Only the session
    /// uses it.
    has_slept: AtomicBool,
    /// Senders that wait until the queue has room.
    waiters: Waiters,
    bounds: Bounds,
    write_timeout: Duration,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// The write half of plain TCP; `None` on other streams. Dropping it ends the server's side of
    /// the stream.
    writer: Option<TcpWriter>,
    /// Wakes the session. Set when it falls asleep, taken by the task that wakes it.
    sleeper: Option<Waker>,
    /// Whether the socket refused bytes when it was last written to. Then an append does not wake
    /// the session.
    is_blocked: bool,
    /// This queue's part of the total for blocked sockets; allocated when the socket first refuses
    /// bytes.
    blocked_queue: Option<Arc<BlockedQueue>>,
    /// How often the session has tried to write.
    attempts: Attempts,
    turn: SessionTurn,
    /// Dropped messages that are not logged yet.
    burst: Option<Box<DropBurst>>,
    /// Whether a publisher has deferred a flush that it still has to do.
    is_flush_deferred: bool,
    lifecycle: Lifecycle,
    /// Wakes tasks that wait for the end of the connection; allocated for the first of them.
    watched: Option<Arc<Notify>>,
}

/// Whether the socket took all queued bytes when it was last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writability {
    Ready,
    Blocked,
}

/// Whether senders can rely on the session of a stream to write when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionTurn {
    /// The session writes when it is woken.
    Expected,
    /// A sender waits until the session has tried to write to its stream.
    Awaited,
    /// There is no session yet, or a publisher has waited for it in vain. Publishers do not wait
    /// for it until it has written again.
    Missing,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits, totals: Arc<Totals>) -> Self {
        Self {
            id: ConnectionId::next(),
            state: Mutex::new(State {
                queue: Queue::default(),
                writer: None,
                sleeper: None,
                is_blocked: false,
                blocked_queue: None,
                attempts: Attempts(0),
                turn: SessionTurn::Missing,
                burst: None,
                is_flush_deferred: false,
                lifecycle: Lifecycle::default(),
                watched: None,
            }),
            mirror: Mirror::default(),
            has_slept: AtomicBool::new(false),
            waiters: Waiters::default(),
            bounds: Bounds::new(limits, totals),
            write_timeout: limits.write_timeout,
        }
    }

    /// Sets the writer, and queues the response to the handshake ahead of all messages.
    pub(crate) fn open(&self, answer: Option<Vec<u8>>, writer: Option<TcpWriter>) {
        let mut state = self.lock();
        state.writer = writer;
        state.turn = SessionTurn::Expected;
        if let Some(answer) = answer {
            state.queue.push_control(answer.into());
        }
    }

    /// Returns the connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a change of the state: counts the bytes that wait, unlocks, and wakes the tasks that the
    /// change concerns.
    #[inline(always)]
    fn unlock(&self, mut state: MutexGuard<'_, State>, after_unlock: AfterUnlock) {
        state.account(self.bounds.totals());
        let AfterUnlock { session, wakes_senders, line, closed } = after_unlock;
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
        closed.into_iter().for_each(Waker::wake);
        if wakes_senders {
            self.waiters.notify_waiters();
        }
        if let Some(line) = line {
            line.write(self.id);
        }
    }

    /// Whether the queue is full, so that further answers have to wait until the client has read
    /// more.
    pub(crate) fn is_full(&self) -> bool {
        !self.bounds.has_room(&self.lock(), 0)
    }

    /// Queues a ping, ahead of messages.
    pub(crate) fn ping(&self) {
        let mut state = self.lock();
        if !state.lifecycle.is_sealed() {
            state.queue.push_control(ping_frame());
        }
    }

    /// Queues the answer to a ping, ahead of messages.
    pub(crate) fn pong(&self, payload: &[u8]) {
        let mut state = self.lock();
        if !state.lifecycle.is_sealed() {
            state.queue.push_pong(pong_frame(payload));
        }
    }

    /// Returns the counts of this connection.
    pub(crate) fn outbound(&self) -> Outbound {
        self.lock().queue.outbound()
    }

    /// Returns the number of bytes written so far, which distinguishes a slow client from one that
    /// reads no bytes.
    pub(crate) fn written(&self) -> u64 {
        self.lock().queue.written()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}
