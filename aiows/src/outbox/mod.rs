//! The bounded outbound queue of one connection, and the only writer of its socket.

mod closed;
mod control;
mod flush;
mod queue;
mod shared;
mod wish;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

pub(crate) use self::control::Control;
use self::queue::Queue;
pub(crate) use self::shared::SharedFrame;
pub(crate) use self::wish::{CloseWish, Manner};
use crate::codec::{Encoded, HEADROOM, buffer};
use crate::error::SendError;
use crate::limits::Limits;
use crate::transport::{Opcode, write_header};

/// Messages up to this size are copied into one run of bytes, larger ones are handed over whole.
const MAX_INLINE: usize = 4096;

/// What one connection still has to be sent.
///
/// Everybody appends under the lock, which is never held across an await; only the session waits
/// for the socket. It is sealed when a close frame is written: nothing follows one.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// No message is accepted any more; changed under the lock, read without it.
    closing: AtomicBool,
    /// Wakes senders that wait for room.
    room: Notify,
    max_messages: usize,
    max_size: usize,
    write_timeout: Duration,
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
    /// A publisher is about to write what is queued.
    promised: bool,
    /// The application's wish to close, until the session acts on it.
    wish: Option<CloseWish>,
    /// The close frame is queued.
    sealed: bool,
    /// The connection ends, or is about to.
    ending: bool,
    /// Wakes who waits for that; made for the first of them.
    watched: Option<Arc<Notify>>,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State {
                queue: Queue::default(),
                writer: None,
                sleeper: None,
                blocked: false,
                promised: false,
                wish: None,
                sealed: false,
                ending: false,
                watched: None,
            }),
            closing: AtomicBool::new(false),
            room: Notify::new(),
            max_messages: limits.outbound_messages,
            max_size: limits.outbound_size,
            write_timeout: limits.write_timeout,
        }
    }

    /// Gives it what it writes to, and the answer to the handshake, which leaves before anything else.
    pub(crate) fn open(&self, greeting: Vec<u8>, writer: Option<OwnedWriteHalf>) {
        let mut state = self.lock();
        state.writer = writer;
        if !greeting.is_empty() {
            state.queue.push_control(greeting.into());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message if there is room.
    ///
    /// # Errors
    ///
    /// `Full` gives the message back, `Closed` drops it.
    pub(crate) fn try_push(&self, opcode: Opcode, message: Encoded) -> Result<(), Refused> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        if !state.queue.has_room(message.payload().len(), self.max_messages, self.max_size) {
            return Err(Refused::Full(message));
        }
        append(&mut state.queue, opcode, message);
        let sleeper = if state.blocked { None } else { state.sleeper.take() };
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        Ok(())
    }

    /// Appends a message, waiting for room at most as long as a peer may refuse to read.
    ///
    /// Cancel safe: a dropped future has queued nothing.
    pub(crate) async fn push(&self, opcode: Opcode, message: Encoded) -> Result<(), SendError> {
        let mut message = match self.try_push(opcode, message) {
            Ok(()) => return Ok(()),
            Err(Refused::Closed) => return Err(SendError::Closed),
            Err(Refused::Full(message)) => message,
        };
        let wait = async {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                // Registered before the attempt: room made in between is not missed.
                room.as_mut().enable();
                match self.try_push(opcode, message) {
                    Ok(()) => return Ok(()),
                    Err(Refused::Closed) => return Err(SendError::Closed),
                    Err(Refused::Full(refused)) => message = refused,
                }
                room.await;
            }
        };
        let Ok(result) = timeout(self.write_timeout, wait).await else {
            self.wish_close(CloseWish::slow_consumer());
            return Err(SendError::Full);
        };
        result
    }

    /// Appends the session's own answer to its peer, which is bounded by the one message it
    /// answers; `true` when no other message should be handled before the peer has read some.
    pub(crate) fn push_answer(&self, opcode: Opcode, message: Encoded) -> bool {
        let mut state = self.lock();
        if !self.is_closed() {
            append(&mut state.queue, opcode, message);
        }
        !state.queue.has_room(0, self.max_messages, self.max_size)
    }

    /// Whether answers to the peer have to wait until it has read more.
    pub(crate) fn is_full(&self) -> bool {
        !self.lock().queue.has_room(0, self.max_messages, self.max_size)
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

    /// Forgets every message that was not begun to be written.
    pub(crate) fn discard_unsent(&self) {
        self.lock().queue.discard_unsent();
    }

    /// A writer for the frames the state machine answers by itself.
    pub(crate) fn control(&self) -> Control<'_> {
        Control { outbox: self }
    }

    /// Lets the session sleep unless there is something to do: `false` means look again.
    pub(crate) fn sleep(&self, cx: &Context<'_>, blocked: bool, idle: bool) -> bool {
        let mut state = self.lock();
        let work = !blocked && !state.queue.is_empty();
        let wish = state.wish.as_ref().is_some_and(|wish| wish.is_due(idle));
        if work || wish {
            return false;
        }
        state.blocked = blocked;
        match &mut state.sleeper {
            Some(sleeper) => sleeper.clone_from(cx.waker()),
            None => state.sleeper = Some(cx.waker().clone()),
        }
        true
    }

    /// How many bytes were written so far; tells a slow peer from one that reads nothing.
    pub(crate) fn written(&self) -> u64 {
        self.lock().queue.written()
    }

    /// Ends our side of the stream and forgets what was not written.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        self.set_closing();
        state.sealed = true;
        state.note_ending();
        state.queue = Queue::default();
        let writer = state.writer.take();
        drop(state);
        drop(writer);
        self.room.notify_waiters();
    }

    /// Takes everything that is queued, for a handle without a connection.
    #[cfg(feature = "test-util")]
    pub(crate) fn drain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.flush_with(|_, slices| {
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        bytes
    }
}

/// Why a message was not queued.
#[derive(Debug)]
pub(crate) enum Refused {
    Closed,
    Full(Encoded),
}

fn append(queue: &mut Queue, opcode: Opcode, message: Encoded) {
    let mut frame = message.into_buffer();
    let start = write_header(opcode, &mut frame);
    let size = frame.len() - HEADROOM;
    if size <= MAX_INLINE {
        queue.push_copy(&frame[start..], size);
        buffer::give_back(frame);
    } else {
        queue.push_shared(Bytes::from(frame).slice(start..), size);
    }
}
