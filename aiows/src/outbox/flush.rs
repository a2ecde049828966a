//! From the queue to the socket: by the session, or by a publisher while the session sleeps.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::policy::{Aftermath, Attempts};
use super::{AcceptedMessages, CloseRequest, Outbox, SessionTurn, State, Writability};
use crate::transport::TcpWriter;

/// Which side must write the frame just queued.
pub(super) enum Flush {
    /// The session, which is awake, or a publisher that has deferred a flush before.
    Known,
    /// The publisher, which has deferred the flush now.
    Deferred,
    /// The session, which is to be woken.
    Session(Waker),
}

impl State {
    /// Finds out who has to write what was just appended; the session of a plain TCP connection
    /// is left asleep as long as the socket takes everything.
    pub(super) fn published(&mut self) -> Flush {
        if self.blocked || self.is_flush_deferred || self.sleeper.is_none() {
            return Flush::Known;
        }
        self.is_flush_deferred = self.writer.is_some();
        match self.sleeper.take_if(|_| self.writer.is_none()) {
            Some(sleeper) => Flush::Session(sleeper),
            None => Flush::Deferred,
        }
    }

    /// Writes what plain TCP takes, for a sender that finds no room; `false` when that is nothing.
    ///
    /// The kernel is asked, whatever the runtime believes: its news of a socket come only when its
    /// thread has time for them.
    pub(super) fn try_tcp(&mut self, aftermath: &mut Aftermath) -> bool {
        if self.writer.is_none() {
            return false;
        }
        let (result, freed) = self.write(write_at_once);
        let was_blocked = mem::replace(&mut self.blocked, result.is_pending());
        let has_failed = matches!(result, Poll::Ready(Err(_)));
        // The session waits for the socket, notes progress, and finds the failure.
        if has_failed || (self.blocked && !was_blocked) || (was_blocked && freed) {
            aftermath.session = self.sleeper.take();
        }
        aftermath.made_room |= freed;
        freed
    }

    /// Writes through `write`; tells as well whether that made room.
    fn write(
        &mut self,
        mut write: impl FnMut(&Option<TcpWriter>, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (Poll<io::Result<()>>, bool) {
        let Self { queue, writer, .. } = self;
        let mut freed = false;
        let result = loop {
            if queue.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match queue.write_with(|slices| write(writer, slices)) {
                Ok(0) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => freed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Poll::Ready(Err(error)),
            }
        };
        (result, freed)
    }
}

impl Outbox {
    /// Writes what is queued through `write`: [`write_tcp`] for plain TCP, where the server's side of the
    /// stream ends behind the last frame.
    ///
    /// `Ready` when nothing is left; `Pending` without any wake-up when `write` fails with `WouldBlock`.
    #[inline]
    pub(crate) fn flush(
        &self,
        write: impl FnMut(&Option<TcpWriter>, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let (result, freed) = state.write(write);
        state.blocked = result.is_pending();
        let Attempts(attempts) = state.attempts;
        state.attempts = Attempts(attempts.wrapping_add(1));
        // A sender that has waited for this may act on a socket that refuses every byte.
        let is_awaited =
            mem::replace(&mut state.turn, SessionTurn::Expected) != SessionTurn::Expected;
        state.account(self.bounds.totals());
        let line = if result.is_ready() { state.end_spell() } else { None };
        let State { writer, lifecycle, .. } = &mut *state;
        let ended = writer.take_if(|_| result.is_ready() && lifecycle.is_sealed());
        drop(state);
        drop(ended);
        if freed || is_awaited {
            self.room.notify_waiters();
        }
        if let Some(line) = line {
            line.write(self.id);
        }
        result
    }

    /// Does a deferred flush; what the socket refuses, and its failure, is left to the session.
    pub(crate) fn flush_deferred(&self) {
        let mut state = self.lock();
        // A session that is awake looks into the queue before it sleeps.
        if !mem::take(&mut state.is_flush_deferred) || state.blocked || state.sleeper.is_none() {
            return;
        }
        let (result, freed) = state.write(write_tcp);
        let done = matches!(result, Poll::Ready(Ok(())));
        let sleeper = if done { None } else { state.sleeper.take() };
        let line = if done { state.end_spell() } else { None };
        drop(state);
        if freed {
            self.room.notify_waiters();
        }
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        if let Some(line) = line {
            line.write(self.id);
        }
    }

    /// Leaves a deferred flush to the session.
    pub(crate) fn cancel_deferred(&self) {
        let mut state = self.lock();
        let was_deferred = mem::take(&mut state.is_flush_deferred);
        let sleeper = if was_deferred { state.sleeper.take() } else { None };
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Lets the session sleep unless there is something to do: `false` means look again.
    #[inline]
    pub(crate) fn sleep(
        &self,
        cx: &Context<'_>,
        writability: Writability,
        accepted: AcceptedMessages,
    ) -> bool {
        let mut state = self.lock();
        // A sender came between the last write and this moment, and waits for the next one.
        let is_awaited = state.turn == SessionTurn::Awaited && state.writer.is_none();
        let is_blocked = writability == Writability::Blocked;
        let work = is_awaited || (!is_blocked && !state.queue.is_empty());
        if work || state.has_close_order(accepted) {
            return false;
        }
        state.blocked = is_blocked;
        state.account(self.bounds.totals());
        if is_blocked {
            return self.sleep_blocked(cx.waker(), state);
        }
        self.fall_asleep(cx.waker(), &mut state);
        true
    }

    /// Sleeps while the socket refuses bytes.
    #[cold]
    fn sleep_blocked(&self, session: &Waker, mut state: MutexGuard<'_, State>) -> bool {
        let closed = self.bounds.relieve_blocked(&state);
        let is_chosen = state.await_choice(session);
        if !is_chosen {
            self.fall_asleep(session, &mut state);
        }
        drop(state);
        closed.into_iter().for_each(Waker::wake);
        if is_chosen {
            self.close_chosen();
        }
        !is_chosen
    }

    /// Closes a connection whose queue is the largest when all of them hold too much.
    pub(super) fn close_chosen(&self) {
        if self.is_closed() {
            // It closes for another reason, and does not read what comes before the close frame.
            self.discard_unsent();
        } else {
            self.request_close(CloseRequest::slow_consumer());
        }
    }

    #[inline]
    fn fall_asleep(&self, session: &Waker, state: &mut State) {
        self.has_slept.store(true, Ordering::Relaxed);
        match &mut state.sleeper {
            Some(sleeper) => sleeper.clone_from(session),
            None => state.sleeper = Some(session.clone()),
        }
    }

    /// Takes everything that is queued, for a handle without a connection.
    #[cfg(feature = "test-util")]
    pub(crate) fn drain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.flush(|_, slices| {
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        // No session follows, for which a publisher could wait.
        self.lock().turn = SessionTurn::Missing;
        bytes
    }
}

pub(crate) fn write_tcp(writer: &Option<TcpWriter>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    writer.as_ref().ok_or(io::ErrorKind::BrokenPipe)?.write(slices)
}

/// Writes without regard to what the runtime knows of the socket.
fn write_at_once(writer: &Option<TcpWriter>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let writer = writer.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
    writer.write_at_once(slices)
}
