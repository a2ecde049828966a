//! How far a connection is on its way to the end: one state, changed under the queue's lock.
//!
//! ARCHITECTURE.md has the diagram that relates these states to the phases of a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::close_request::{AcceptedMessages, CloseMode, CloseOrder, CloseRequest};
use super::{Outbox, SessionTurn, State};

/// The state of a connection that everybody who holds a handle on it shares.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Lifecycle {
    #[default]
    Open,
    /// The client has closed, or its stream has ended. What it sent before is still answered.
    CloseReceived,
    /// The server has to close the connection; its session has not done so yet.
    CloseRequested(Box<CloseRequest>),
    /// Nothing is queued any more: the close frame was, or the client needs none.
    CloseSent,
    /// As `CloseSent`, but the session must not wait for the client any longer.
    CutRequested,
    /// The stream is gone and the counts are settled.
    Ended,
    /// As `Ended`, but the session must not wait for a handler any longer.
    CutAfterEnd,
}

/// What anybody may read of the lifecycle without the lock, in the order it happens.
#[derive(Debug, Default)]
pub(super) struct Mirror(AtomicU8);

const OPEN: u8 = 0;
/// The end is in sight: `WebSocket::closed` resolves.
const ENDING: u8 = 1;
/// No message is accepted any more; the session has to close.
const ORDERED: u8 = 2;
/// No message is accepted any more.
const CLOSED: u8 = 3;

impl Lifecycle {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended | Self::CutAfterEnd)
    }

    /// Whether nothing is queued any more, not even a control frame.
    pub(super) fn is_sealed(&self) -> bool {
        use Lifecycle::{CloseSent, CutAfterEnd, CutRequested, Ended};
        matches!(self, CloseSent | CutRequested | Ended | CutAfterEnd)
    }
}

impl Outbox {
    /// Whether no message is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.mirror.0.load(Ordering::Acquire) >= ORDERED
    }

    /// Whether the session has to close the connection before it handles another message.
    pub(crate) fn awaits_close(&self) -> bool {
        self.mirror.0.load(Ordering::Acquire) == ORDERED
    }

    /// Whether the connection ends or is about to.
    pub(crate) fn is_ending(&self) -> bool {
        self.mirror.0.load(Ordering::Acquire) >= ENDING
    }

    /// While the server stops and the session still answers what it has accepted: how long it waits for
    /// the client at most.
    pub(crate) fn drain_grace(&self) -> Option<Duration> {
        match &self.lock().lifecycle {
            Lifecycle::CloseRequested(request) if request.mode == CloseMode::Drain => {
                Some(request.grace)
            }
            _ => None,
        }
    }

    fn transition(&self, state: &mut State, to: Lifecycle) {
        let mirrored = match &to {
            Lifecycle::Open => OPEN,
            Lifecycle::CloseReceived => ENDING,
            Lifecycle::CloseRequested(request) if request.mode == CloseMode::Drain => ENDING,
            Lifecycle::CloseRequested(_) => ORDERED,
            Lifecycle::CloseSent
            | Lifecycle::CutRequested
            | Lifecycle::Ended
            | Lifecycle::CutAfterEnd => CLOSED,
        };
        state.lifecycle = to;
        self.mirror.0.store(mirrored, Ordering::Release);
        if let Some(watched) = state.watched.take() {
            watched.notify_waiters();
        }
    }

    /// Makes the session close the connection. The first request counts, unless a later one is less
    /// patient.
    pub(crate) fn request_close(&self, request: CloseRequest) {
        let mut state = self.lock();
        let to = match &state.lifecycle {
            Lifecycle::Open | Lifecycle::CloseReceived => {
                Lifecycle::CloseRequested(Box::new(request))
            }
            Lifecycle::CloseRequested(earlier) if earlier.mode < request.mode => {
                Lifecycle::CloseRequested(Box::new(request))
            }
            Lifecycle::CloseSent if request.mode == CloseMode::Cut => Lifecycle::CutRequested,
            Lifecycle::Ended if request.mode == CloseMode::Cut => Lifecycle::CutAfterEnd,
            _ => return,
        };
        self.transition(&mut state, to);
        let sleeper = state.sleeper.take();
        drop(state);
        self.room.notify_waiters();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Takes the request to close if its time has come; the session that calls this is awake and
    /// needs no waker.
    #[inline]
    pub(crate) fn take_close_order(&self, accepted: AcceptedMessages) -> CloseOrder {
        // Looked at without the lock, because this is called for every message. An order that comes now
        // is found under the lock before the session sleeps.
        let is_open = self.mirror.0.load(Ordering::Acquire) == OPEN;
        if is_open && !self.has_slept.load(Ordering::Relaxed) {
            return CloseOrder::None;
        }
        self.has_slept.store(false, Ordering::Relaxed);
        let mut state = self.lock();
        state.sleeper = None;
        match &mut state.lifecycle {
            Lifecycle::CloseRequested(request) if request.is_due(accepted) => {
                let request = request.clone();
                // Until the close frame is queued, nothing else may be.
                self.transition(&mut state, Lifecycle::CloseSent);
                CloseOrder::Close(request)
            }
            Lifecycle::CloseRequested(_) => CloseOrder::Drain,
            Lifecycle::CutRequested => {
                self.transition(&mut state, Lifecycle::CloseSent);
                CloseOrder::Cut
            }
            Lifecycle::CutAfterEnd => {
                self.transition(&mut state, Lifecycle::Ended);
                CloseOrder::Cut
            }
            _ => CloseOrder::None,
        }
    }

    /// Notes that the client has closed or left: its messages that wait are still answered.
    pub(crate) fn note_client_end(&self) {
        let mut state = self.lock();
        if state.lifecycle == Lifecycle::Open {
            self.transition(&mut state, Lifecycle::CloseReceived);
        }
    }

    /// Accepts nothing more, and queues a close frame behind everything if the client needs one.
    pub(crate) fn seal(&self, close_frame: Option<Bytes>) {
        let mut state = self.lock();
        if let Some(frame) = close_frame
            && !state.lifecycle.has_ended()
        {
            state.queue.push_last(frame);
        }
        match &state.lifecycle {
            Lifecycle::CutRequested | Lifecycle::Ended | Lifecycle::CutAfterEnd => {}
            // The session has closed for another reason meanwhile, and still has to be quick.
            Lifecycle::CloseRequested(request) if request.mode == CloseMode::Cut => {
                self.transition(&mut state, Lifecycle::CutRequested);
            }
            _ => self.transition(&mut state, Lifecycle::CloseSent),
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// Whether everything that was queued is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Ends the server's side of the stream, drops what was not written and settles the counts, once.
    pub(crate) fn end(&self) {
        // Looked at first: this may be called more than once, and all connections share the totals.
        if self.lock().lifecycle.has_ended() {
            return;
        }
        let mut ended = self.bounds.totals().lock();
        let mut state = self.lock();
        if state.lifecycle.has_ended() {
            return;
        }
        let to = match &state.lifecycle {
            // An order to cut that was not obeyed yet outlives the stream.
            Lifecycle::CutRequested => Lifecycle::CutAfterEnd,
            Lifecycle::CloseRequested(request) if request.mode == CloseMode::Cut => {
                Lifecycle::CutAfterEnd
            }
            _ => Lifecycle::Ended,
        };
        self.transition(&mut state, to);
        state.queue.clear();
        state.blocked = false;
        state.turn = SessionTurn::Missing;
        state.account(self.bounds.totals());
        *ended += state.outbound();
        let line = state.last_spell();
        let writer = state.writer.take();
        drop(state);
        drop(ended);
        drop(writer);
        self.room.notify_waiters();
        if let Some(line) = line {
            line.write(self.id);
        }
    }

    /// Waits until the connection ends or is about to.
    pub(crate) async fn ending(&self) {
        let watched = {
            let mut state = self.lock();
            if self.is_ending() {
                return;
            }
            Arc::<Notify>::clone(state.watched.get_or_insert_default())
        };
        let mut notified = std::pin::pin!(watched.notified());
        // Registered before the second look: an end in between is not missed.
        notified.as_mut().enable();
        if !self.is_ending() {
            notified.await;
        }
    }
}

impl State {
    /// Whether a request to close can be acted on.
    pub(super) fn has_close_order(&self, accepted: AcceptedMessages) -> bool {
        match &self.lifecycle {
            Lifecycle::CloseRequested(request) => request.is_due(accepted),
            Lifecycle::CutRequested | Lifecycle::CutAfterEnd => true,
            _ => false,
        }
    }
}
