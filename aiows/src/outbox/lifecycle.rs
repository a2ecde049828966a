//! The state of a connection from open to ended, changed under the lock of the queue.
//!
//! ARCHITECTURE.md has a diagram that relates these states to the phases of a session.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::close_request::{AcceptedMessages, CloseMode, CloseOrder, CloseRequest};
use super::policy::AfterUnlock;
use super::{Outbox, SessionTurn, State};
use crate::close::DisconnectReason;
use crate::protocol::close_frame;

/// The state of a connection, shared by all handles on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Lifecycle {
    #[default]
    Open,
    /// The client has closed, or its stream has ended. Messages that it sent before are still
    /// answered.
    CloseReceived,
    /// A close was requested; the session has not carried it out yet.
    CloseRequested(Box<CloseRequest>),
    /// No frame is queued any more: the close frame is already in the queue, or the client needs
    /// none.
    CloseSent,
    /// Like `CloseSent`, but the session must stop waiting for the client.
    CutRequested,
    /// The stream has ended, and the counts are final.
    Ended,
    /// Like `Ended`, but the session must stop waiting for handlers.
    CutAfterEnd,
}

/// A summary of the lifecycle that is read without the lock. Its values only grow.
#[derive(Debug, Default)]
pub(super) struct Mirror(AtomicU8);

const OPEN: u8 = 0;
/// The connection is about to end: `WebSocket::closed` resolves.
const ENDING: u8 = 1;
/// No message is accepted any more, and the session has to close the connection.
const CLOSE_REQUESTED: u8 = 2;
/// No message is accepted any more.
const CLOSED: u8 = 3;

impl Lifecycle {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended | Self::CutAfterEnd)
    }

    /// Whether no frame is queued any more, not even a control frame.
    pub(super) fn is_sealed(&self) -> bool {
        use Lifecycle::{CloseSent, CutAfterEnd, CutRequested, Ended};
        matches!(self, CloseSent | CutRequested | Ended | CutAfterEnd)
    }
}

impl Outbox {
    /// Whether no message is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.mirror.0.load(Ordering::Acquire) >= CLOSE_REQUESTED
    }

    /// Whether the session has to close the connection before it handles another message.
    pub(crate) fn awaits_close(&self) -> bool {
        self.mirror.0.load(Ordering::Acquire) == CLOSE_REQUESTED
    }

    /// Whether the connection has ended or is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.mirror.0.load(Ordering::Acquire) >= ENDING
    }

    /// Returns how long the session waits for the client at most, if the server shuts down and the
    /// session still answers accepted messages.
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
            Lifecycle::CloseRequested(_) => CLOSE_REQUESTED,
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

    /// Requests that the session close the connection. The first request counts, unless a later one
    /// has a quicker mode.
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
        let session = state.sleeper.take();
        self.unlock(state, AfterUnlock { session, wakes_senders: true, ..AfterUnlock::default() });
    }

    /// Takes the request to close if it can be carried out. The session that calls this is awake,
    /// so its waker is removed.
    #[inline]
    pub(crate) fn take_close_order(&self, accepted: AcceptedMessages) -> CloseOrder {
        // Checked without the lock, because this runs for every message. A request that comes right
        // after this check is found under the lock before the session sleeps.
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
                let dropped = state.queue_close(&request);
                self.transition(&mut state, Lifecycle::CloseSent);
                let after_unlock = AfterUnlock { wakes_senders: true, ..AfterUnlock::default() };
                self.unlock(state, after_unlock);
                CloseOrder::Close { request, dropped }
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

    /// Notes that the client has closed or left. Its messages that wait are still answered.
    pub(crate) fn note_client_end(&self) {
        let mut state = self.lock();
        if state.lifecycle == Lifecycle::Open {
            self.transition(&mut state, Lifecycle::CloseReceived);
        }
    }

    /// Accepts no more frames, and queues the close frame of a request behind all others. Returns
    /// the number of messages that are dropped, because the client is too slow for them.
    pub(crate) fn close(&self, request: &CloseRequest) -> usize {
        let mut state = self.lock();
        let dropped = state.queue_close(request);
        self.seal_locked(state);
        dropped
    }

    /// Accepts no more frames, and queues a close frame behind all others if the client needs one.
    pub(crate) fn seal(&self, close_frame: Option<Bytes>) {
        let mut state = self.lock();
        state.queue_last(close_frame);
        self.seal_locked(state);
    }

    fn seal_locked(&self, mut state: MutexGuard<'_, State>) {
        match &state.lifecycle {
            Lifecycle::CutRequested | Lifecycle::Ended | Lifecycle::CutAfterEnd => {}
            // The session has closed for another reason in the meantime, but still has to cut the
            // connection.
            Lifecycle::CloseRequested(request) if request.mode == CloseMode::Cut => {
                self.transition(&mut state, Lifecycle::CutRequested);
            }
            _ => self.transition(&mut state, Lifecycle::CloseSent),
        }
        self.unlock(state, AfterUnlock { wakes_senders: true, ..AfterUnlock::default() });
    }

    /// Whether all queued frames are written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Ends the server's side of the stream, drops the messages that are not written, and adds the
    /// counts to the totals, once.
    pub(crate) fn end(&self) {
        // Checked first without the totals: this may be called more than once, and all connections
        // share the lock of the totals.
        if self.lock().lifecycle.has_ended() {
            return;
        }
        let mut ended = self.bounds.totals().lock();
        let mut state = self.lock();
        if state.lifecycle.has_ended() {
            return;
        }
        let to = match &state.lifecycle {
            // A cut that the session has not carried out yet is kept beyond the end of the stream.
            Lifecycle::CutRequested => Lifecycle::CutAfterEnd,
            Lifecycle::CloseRequested(request) if request.mode == CloseMode::Cut => {
                Lifecycle::CutAfterEnd
            }
            _ => Lifecycle::Ended,
        };
        self.transition(&mut state, to);
        state.queue.clear();
        state.is_blocked = false;
        state.turn = SessionTurn::Missing;
        *ended += state.queue.outbound();
        drop(ended);
        let (line, writer) = (state.last_burst(), state.writer.take());
        self.unlock(state, AfterUnlock { wakes_senders: true, line, ..AfterUnlock::default() });
        drop(writer);
    }

    /// Waits until the connection ends or is about to end.
    pub(crate) async fn ending(&self) {
        let watched = {
            let mut state = self.lock();
            if self.is_ending() {
                return;
            }
            Arc::<Notify>::clone(state.watched.get_or_insert_default())
        };
        let mut notified = std::pin::pin!(watched.notified());
        // Registered before the second check, so that an end in between is not missed.
        notified.as_mut().enable();
        if !self.is_ending() {
            notified.await;
        }
    }
}

impl State {
    /// Queues the close frame of a request. For a slow client, drops every message that is not
    /// partly written first; no frame may follow a message that is cut between two fragments.
    fn queue_close(&mut self, request: &CloseRequest) -> usize {
        let dropped = match request.because {
            DisconnectReason::SlowConsumer => self.drop_unsent(),
            _ => 0,
        };
        self.queue_last(Some(close_frame(Some(request.code), &request.reason)));
        dropped
    }

    fn queue_last(&mut self, close_frame: Option<Bytes>) {
        if let Some(frame) = close_frame
            && !self.lifecycle.has_ended()
        {
            self.queue.push_last(frame);
        }
    }

    /// Drops every message that is not partly written, and returns how many were dropped. If a
    /// message has several fragments, only the partly written fragment is kept, so no message may
    /// follow it.
    pub(super) fn drop_unsent(&mut self) -> usize {
        let is_cut = self.queue.cut_partial();
        self.queue.discard_unsent() + usize::from(is_cut)
    }

    /// Whether a request to close can be carried out now.
    pub(super) fn has_close_order(&self, accepted: AcceptedMessages) -> bool {
        match &self.lifecycle {
            Lifecycle::CloseRequested(request) => request.is_due(accepted),
            Lifecycle::CutRequested | Lifecycle::CutAfterEnd => true,
            _ => false,
        }
    }
}
