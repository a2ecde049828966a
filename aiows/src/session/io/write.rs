//! Writing the queue to the socket, and ending the stream behind the last frame.

use std::io;
use std::task::{Context, Poll};

use super::phase::Phase;
use super::{Answers, ConnectionIo};
use crate::limits::deadline_after;
use crate::outbox::Writability;
use crate::transport::Io;

/// More than the size of a ping (at most 127 bytes with its header), so that pings alone never
/// count as a sign of life.
const MIN_TAKEN_BY_STREAM: u64 = 128;

impl ConnectionIo {
    /// Writes the queue. Once the last frame is written, starts the client's deadline and ends the
    /// server's side of the stream. On plain TCP the outbox has already ended it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        if self.phase.has_ended() {
            return;
        }
        let io = &mut self.io;
        let mut flushed = self.socket.outbox().flush(|writer, parts| io.write(cx, writer, parts));
        if let Poll::Ready(Ok(())) = flushed {
            flushed = io.poll_flush(cx);
        }
        self.note_flushed(&flushed);
        let (Phase::Closing { by } | Phase::Failing { by } | Phase::Flushing { by }) =
            &mut self.phase
        else {
            return;
        };
        if flushed.is_pending() {
            return;
        }
        by.get_or_insert_with(|| deadline_after(self.limits.close_timeout));
        // RFC 6455 section 7.1.1: the server ends the stream first. The client may still be
        // sending, and if the socket were dropped then, the kernel would discard bytes that the
        // client has not received.
        match self.io.poll_shutdown(cx) {
            Poll::Pending => return,
            // The connection ends soon in any case.
            Poll::Ready(Err(error)) => self.note_failure(&error),
            Poll::Ready(Ok(())) => {}
        }
        if matches!(self.phase, Phase::Flushing { .. }) {
            self.end_now();
        }
    }

    fn note_flushed(&mut self, flushed: &Poll<io::Result<()>>) {
        self.writability = match flushed {
            Poll::Pending => Writability::Blocked,
            Poll::Ready(_) => Writability::Ready,
        };
        match flushed {
            Poll::Pending => {
                self.clock.note_blocked(self.outbox().written(), sign_of_life(&self.io))
            }
            Poll::Ready(Ok(())) if self.clock.is_blocked() => {
                self.clock.note_unblocked(self.outbox().written(), sign_of_life(&self.io));
            }
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.fail(error),
        }
        if self.answers == Answers::Wait && !self.outbox().is_full() {
            self.answers = Answers::Fit;
            self.renew_handler_deadline();
        }
    }
}

/// Returns how many bytes a full socket must take to count as a sign of life. A custom stream may
/// be pending before every write, so that taking a ping is no evidence of a live client.
fn sign_of_life(io: &Io) -> u64 {
    match io {
        Io::Tcp(_) => 0,
        Io::Stream(_) => MIN_TAKEN_BY_STREAM,
    }
}
