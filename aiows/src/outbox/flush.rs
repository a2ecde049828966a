//! From the queue to the socket.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use tokio::net::tcp::OwnedWriteHalf;

use super::{Outbox, State};

impl Outbox {
    /// Writes what plain TCP takes.
    ///
    /// `Ready` when nothing is left; `Pending` without any wake-up when the socket refuses bytes.
    pub(crate) fn flush_tcp(&self) -> Poll<io::Result<()>> {
        self.flush_with(|writer, slices| match (writer, slices) {
            (None, _) => Err(io::ErrorKind::BrokenPipe.into()),
            // One part is the common case, for which the kernel has a shorter way.
            (Some(writer), [slice]) => writer.try_write(slice),
            (Some(writer), slices) => writer.try_write_vectored(slices),
        })
    }

    /// Writes what a stream takes through `write`, which says `WouldBlock` when it takes nothing.
    pub(crate) fn flush_with(
        &self,
        mut write: impl FnMut(&Option<OwnedWriteHalf>, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let State { queue, writer, .. } = &mut *state;
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
        let was_blocked = std::mem::replace(&mut state.blocked, result.is_pending());
        state.account(&self.totals);
        // Who waits for a socket that may still take bytes wants to know that it does not.
        let stopped = state.blocked && !was_blocked;
        drop(state);
        if freed || stopped {
            self.room.notify_waiters();
        }
        result
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
        state.account(&self.totals);
        match &mut state.sleeper {
            Some(sleeper) => sleeper.clone_from(cx.waker()),
            None => state.sleeper = Some(cx.waker().clone()),
        }
        true
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
