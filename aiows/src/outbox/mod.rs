//! The bounded outbound queue of one connection, and the only writer of its socket.

mod closed;
mod control;
mod drops;
mod flush;
mod policy;
mod push;
mod queue;
mod room;
mod shared;
mod stuck;
#[cfg(test)]
mod tests;
mod totals;
mod wish;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

pub(crate) use self::control::Control;
use self::drops::Spell;
pub(crate) use self::policy::Attempts;
pub(crate) use self::push::Refused;
use self::queue::Queue;
use self::room::Room;
pub(crate) use self::shared::{Published, SharedFrame};
use self::stuck::Stuck;
pub use self::totals::Outbound;
pub(crate) use self::totals::Totals;
pub(crate) use self::wish::{CloseWish, Manner};
use crate::id::ConnectionId;
use crate::limits::Limits;
use crate::overflow::Overflow;
use crate::transport::Opcode;

/// Messages up to this size are copied into one run of bytes, larger ones are handed over whole.
const MAX_INLINE: usize = 4096;

/// What one connection still has to be sent.
///
/// Everybody appends under the lock, which is never held across an await; only the session waits
/// for the socket. It is sealed when a close frame is written: nothing follows one.
#[derive(Debug)]
pub(crate) struct Outbox {
    id: ConnectionId,
    state: Mutex<State>,
    /// No message is accepted any more; changed under the lock, read without it.
    closing: AtomicBool,
    /// Wakes senders that wait for room.
    room: Room,
    max_messages: usize,
    max_size: usize,
    max_total: usize,
    overflow: Overflow,
    write_timeout: Duration,
    /// Of all connections of the server.
    totals: Arc<Totals>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// The write half of plain TCP; dropping it ends our side of the stream.
    writer: Option<OwnedWriteHalf>,
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
    /// A publisher is about to write what is queued.
    promised: bool,
    /// The application's wish to close, until the session acts on it.
    wish: Option<CloseWish>,
    /// The close frame is queued.
    sealed: bool,
    /// The stream has ended, and the totals have the counts.
    settled: bool,
    /// The connection ends, or is about to.
    ending: bool,
    /// Wakes who waits for that; made for the first of them.
    watched: Option<Arc<Notify>>,
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
                promised: false,
                wish: None,
                sealed: false,
                settled: false,
                ending: false,
                watched: None,
            }),
            closing: AtomicBool::new(false),
            room: Room::default(),
            max_messages: limits.outbound_messages,
            max_size: limits.outbound_size,
            max_total: limits.outbound_total,
            overflow: limits.overflow,
            write_timeout: limits.write_timeout,
            totals,
        }
    }

    /// Gives it what it writes to, and the answer to the handshake, which leaves before anything else.
    pub(crate) fn open(&self, greeting: Vec<u8>, writer: Option<OwnedWriteHalf>) {
        let mut state = self.lock();
        state.writer = writer;
        state.turn = SessionTurn::Expected;
        if !greeting.is_empty() {
            state.queue.push_control(greeting.into());
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

    fn has_room(&self, state: &State, size: usize) -> bool {
        state.queue.has_room(size, self.max_messages, self.max_size)
            && (!state.blocked
                || state.queue.messages() == 0
                || self.totals.may_hold(
                    state.queue.size() + size,
                    state.accounted(),
                    self.max_total,
                ))
    }

    /// Whether answers to the peer have to wait until it has read more.
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(&self.lock(), 0)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Queues a ping, ahead of messages.
    pub(crate) fn ping(&self) {
        const PING: &[u8] = &[0x80 | Opcode::Ping as u8, 0];
        let mut state = self.lock();
        if !state.sealed {
            state.queue.push_control(Bytes::from_static(PING));
        }
    }

    /// Forgets every message that was not begun to be written; tells how many.
    ///
    /// Of a message in fragments the one is kept that is partly written; the close frame of the
    /// caller follows it.
    pub(crate) fn discard_unsent(&self) -> usize {
        let mut state = self.lock();
        let is_cut = state.queue.cut_begun();
        if is_cut {
            // No message may follow one that is cut.
            self.set_closing();
        }
        let dropped = state.queue.discard_unsent() + usize::from(is_cut);
        state.account(&self.totals);
        dropped
    }

    /// A writer for the frames the state machine answers by itself.
    pub(crate) fn control(&self) -> Control<'_> {
        Control { outbox: self }
    }

    /// How many bytes were written so far; tells a slow peer from one that reads nothing.
    pub(crate) fn written(&self) -> u64 {
        self.lock().queue.written()
    }

    /// Ends our side of the stream and forgets what was not written.
    pub(crate) fn end(&self) {
        let writer = self.settle();
        drop(writer);
        self.room.notify_waiters();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.settle();
    }
}
