//! The bounded outbound queue of one connection, and the only writer of its socket.

mod close_request;
mod drops;
mod flush;
mod lifecycle;
mod policy;
mod push;
mod queue;
mod room;
mod shared;
mod stuck;
#[cfg(test)]
mod tests;
mod totals;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

pub(crate) use self::close_request::{AcceptedMessages, CloseMode, CloseOrder, CloseRequest};
use self::drops::Spell;
pub(crate) use self::flush::write_tcp;
use self::lifecycle::{Lifecycle, Mirror};
pub(crate) use self::policy::Attempts;
use self::policy::Bounds;
pub(crate) use self::push::Refused;
use self::queue::Queue;
use self::room::Room;
pub(crate) use self::shared::{Published, SharedFrame};
use self::stuck::Stuck;
pub use self::totals::Outbound;
pub(crate) use self::totals::Totals;
use crate::id::ConnectionId;
use crate::limits::Limits;
use crate::protocol::{ping_frame, pong_frame};
use crate::transport::TcpWriter;

/// Messages up to this size are copied into one run of bytes, larger ones are handed over whole.
const MAX_INLINE: usize = 4096;

/// What one connection still has to be sent.
///
/// `mod.rs` has its state and the control frames, `push.rs` messages to one client, `shared.rs`
/// messages to many, `flush.rs` the way to the socket, `lifecycle.rs` the end.
///
/// Any task appends under the lock, which is never held across an await; only the session waits
/// for the socket. Nothing is queued behind a close frame.
#[derive(Debug)]
pub(crate) struct Outbox {
    id: ConnectionId,
    state: Mutex<State>,
    /// What may be read of the lifecycle without the lock; changed under it.
    mirror: Mirror,
    /// Whether the session has left its waker here since it last looked for orders; used by it alone.
    has_slept: AtomicBool,
    /// Wakes senders that wait for room.
    room: Room,
    bounds: Bounds,
    write_timeout: Duration,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// The write half of plain TCP; dropping it ends our side of the stream.
    writer: Option<TcpWriter>,
    /// The session's task, while it sleeps: whoever appends wakes it.
    sleeper: Option<Waker>,
    /// The socket refuses bytes: appending is no reason to wake the session.
    blocked: bool,
    /// What the totals have of the bytes that wait; made when the socket first refuses bytes.
    stuck: Option<Arc<Stuck>>,
    /// How often the session has tried to write to a stream.
    attempts: Attempts,
    turn: SessionTurn,
    /// Messages that were dropped, until the log has their number.
    spell: Option<Box<Spell>>,
    /// A publisher will flush the queue.
    is_flush_deferred: bool,
    lifecycle: Lifecycle,
    /// Wakes tasks that wait for the end; made for the first of them.
    watched: Option<Arc<Notify>>,
}

/// Whether the socket took everything when it was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writability {
    Ready,
    Blocked,
}

/// What senders may expect of the session of a stream, when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionTurn {
    /// It writes when it is woken.
    Expected,
    /// A sender waits until it has tried its stream.
    Awaited,
    /// There is none yet, or it was waited for in vain. No publisher waits until it has written.
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
                blocked: false,
                stuck: None,
                attempts: Attempts(0),
                turn: SessionTurn::Missing,
                spell: None,
                is_flush_deferred: false,
                lifecycle: Lifecycle::default(),
                watched: None,
            }),
            mirror: Mirror::default(),
            has_slept: AtomicBool::new(false),
            room: Room::default(),
            bounds: Bounds::new(limits, totals),
            write_timeout: limits.write_timeout,
        }
    }

    /// Gives it what it writes to, and the answer to the handshake, which leaves before anything else.
    pub(crate) fn open(&self, answer: Option<Vec<u8>>, writer: Option<TcpWriter>) {
        let mut state = self.lock();
        state.writer = writer;
        state.turn = SessionTurn::Expected;
        if let Some(answer) = answer {
            state.queue.push_control(answer.into());
        }
    }

    /// The connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether answers to the peer have to wait until it has read more.
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

    /// Forgets every message that was not begun to be written; tells how many.
    ///
    /// Of a message in fragments the one is kept that is partly written; no message may follow it, so
    /// the caller has sealed the outbox.
    pub(crate) fn discard_unsent(&self) -> usize {
        let mut state = self.lock();
        let is_cut = state.queue.cut_begun();
        let dropped = state.queue.discard_unsent() + usize::from(is_cut);
        state.account(self.bounds.totals());
        dropped
    }

    /// The counts of this connection.
    pub(crate) fn outbound(&self) -> Outbound {
        self.lock().outbound()
    }

    /// How many bytes were written so far; tells a slow peer from one that reads nothing.
    pub(crate) fn written(&self) -> u64 {
        self.lock().queue.written()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}
