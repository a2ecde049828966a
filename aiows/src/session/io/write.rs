//! Writing the queue to the socket.

use std::task::{Context, Poll};

use super::{Answers, ConnectionIo};
use crate::outbox::Writability;
use crate::transport::Io;

/// More than the size of a ping (at most 127 bytes with its header), so that pings alone never
/// count as a sign of life.
const MIN_TAKEN_BY_STREAM: u64 = 128;

impl ConnectionIo {
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        if self.phase.has_ended() {
            return;
        }
        let io = &mut self.io;
        let flushed = match self.socket.outbox().flush(|writer, parts| io.write(cx, writer, parts))
        {
            Poll::Ready(Ok(())) => io.poll_flush(cx),
            unfinished => unfinished,
        };
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
            Poll::Ready(Err(error)) => self.fail(&error),
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
