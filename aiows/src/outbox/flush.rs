//! Writing the queue to the socket: by the session, or by a publisher while the session sleeps.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::policy::{AfterUnlock, Attempts};
use super::{AcceptedMessages, CloseRequest, Outbox, SessionTurn, State, Writability};
use crate::transport::TcpWriter;

impl State {
    /// Writes as much as plain TCP takes, for a sender that finds the queue full; `false` if no
    /// byte was written.
    ///
    /// The write goes to the kernel even if the runtime considers the socket not ready: the runtime
    /// learns of readiness only when its thread has time for it.
    pub(super) fn try_tcp(&mut self, after_unlock: &mut AfterUnlock) -> bool {
        let Self { queue, writer: Some(writer), .. } = self else { return false };
        let (result, freed) = queue.write(|slices| writer.write_at_once(slices));
        let was_blocked = mem::replace(&mut self.is_blocked, result.is_pending());
        let has_failed = matches!(result, Poll::Ready(Err(_)));
        // The session has to wait for the socket, note progress, or find the failure.
        if has_failed || (self.is_blocked && !was_blocked) || (was_blocked && freed) {
            after_unlock.session = self.sleeper.take();
        }
        after_unlock.wakes_senders |= freed;
        freed
    }
}

impl Outbox {
    /// Writes the queue through `write`, which also receives the write half of plain TCP. If the
    /// outbox is sealed and all is written, it ends the server's side of a plain TCP stream.
    ///
    /// Returns `Ready` if the queue is empty, and `Pending` without registering a waker if `write`
    /// fails with `WouldBlock`.
    #[inline]
    pub(crate) fn flush(
        &self,
        mut write: impl FnMut(Option<&TcpWriter>, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let State { queue, writer, .. } = &mut *state;
        let (result, freed) = queue.write(|slices| write(writer.as_ref(), slices));
        state.is_blocked = result.is_pending();
        state.attempts = Attempts(state.attempts.0.wrapping_add(1));
        // A sender that has waited for this attempt may now apply its policy if the socket refuses
        // every byte.
        let is_awaited =
            mem::replace(&mut state.turn, SessionTurn::Expected) != SessionTurn::Expected;
        let mut after_unlock =
            AfterUnlock { wakes_senders: freed || is_awaited, ..AfterUnlock::default() };
        if result.is_ready() {
            after_unlock.line = state.end_burst();
        }
        let State { writer, lifecycle, .. } = &mut *state;
        let ended = writer.take_if(|_| result.is_ready() && lifecycle.is_sealed());
        self.unlock(state, after_unlock);
        drop(ended);
        result
    }

    /// Does a deferred flush. If the socket would block or fails, the session is woken and takes
    /// over.
    pub(crate) fn flush_deferred(&self) {
        let mut state = self.lock();
        let was_deferred = mem::take(&mut state.is_flush_deferred);
        // A session that is awake checks the queue before it sleeps.
        let State { queue, writer: Some(writer), sleeper: Some(_), is_blocked: false, .. } =
            &mut *state
        else {
            return;
        };
        if !was_deferred {
            return;
        }
        let (result, wakes_senders) = queue.write(|slices| writer.write(slices));
        let mut after_unlock = AfterUnlock { wakes_senders, ..AfterUnlock::default() };
        match result {
            Poll::Ready(Ok(())) => after_unlock.line = state.end_burst(),
            Poll::Ready(Err(_)) | Poll::Pending => after_unlock.session = state.sleeper.take(),
        }
        self.unlock(state, after_unlock);
    }

    /// Cancels a deferred flush and wakes the session to write instead.
    pub(crate) fn cancel_deferred(&self) {
        let mut state = self.lock();
        let was_deferred = mem::take(&mut state.is_flush_deferred);
        let session = if was_deferred { state.sleeper.take() } else { None };
        self.unlock(state, AfterUnlock { session, ..AfterUnlock::default() });
    }

    /// Stores the session's waker, unless there is work left for it: then it returns `false`, and
    /// the session must make another turn. This check under the lock is the second one. It finds a
    /// frame or a request to close that came after the session last looked, so that no wake-up is
    /// lost.
    #[inline]
    pub(crate) fn sleep(
        &self,
        cx: &Context<'_>,
        writability: Writability,
        accepted: AcceptedMessages,
    ) -> bool {
        let mut state = self.lock();
        // A sender came after the last write and waits for the next one.
        let is_awaited = state.turn == SessionTurn::Awaited && state.writer.is_none();
        let is_blocked = writability == Writability::Blocked;
        let work = is_awaited || (!is_blocked && !state.queue.is_empty());
        if work || state.has_close_order(accepted) {
            return false;
        }
        state.is_blocked = is_blocked;
        state.account(self.bounds.totals());
        if is_blocked {
            return self.sleep_blocked(cx.waker(), state);
        }
        self.fall_asleep(cx.waker(), &mut state);
        true
    }

    /// Lets the session sleep while the socket refuses bytes.
    #[cold]
    fn sleep_blocked(&self, session: &Waker, mut state: MutexGuard<'_, State>) -> bool {
        let closed = self.bounds.enforce_total(&state);
        let is_chosen = state.await_choice(session);
        if !is_chosen {
            self.fall_asleep(session, &mut state);
        }
        drop(state);
        closed.into_iter().for_each(Waker::wake);
        // Closes this connection, because all blocked queues together exceed the limit.
        if is_chosen && self.is_closed() {
            // The connection closes for another reason, and its client does not read the messages
            // before the close frame.
            let mut state = self.lock();
            state.drop_unsent();
            self.unlock(state, AfterUnlock::default());
        } else if is_chosen {
            self.request_close(CloseRequest::slow_consumer());
        }
        !is_chosen
    }

    #[inline]
    fn fall_asleep(&self, session: &Waker, state: &mut State) {
        self.has_slept.store(true, Ordering::Relaxed);
        match &mut state.sleeper {
            Some(sleeper) => sleeper.clone_from(session),
            None => state.sleeper = Some(session.clone()),
        }
    }

    /// Takes all queued bytes, for a handle without a connection.
    #[cfg(feature = "test-util")]
    pub(crate) fn drain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.flush(|_, slices| {
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        // There is no session for which a publisher could wait.
        self.lock().turn = SessionTurn::Missing;
        bytes
    }
}
