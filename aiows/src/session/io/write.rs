//! Writing the queue to the socket.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Answers, ConnectionIo};
use crate::outbox::{Writability, write_tcp};
use crate::transport::Io;

/// More than the size of a ping (at most 127 bytes with its header), so that pings alone never
/// count as a sign of life.
const MIN_TAKEN_BY_STREAM: u64 = 128;

impl ConnectionIo {
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        if self.phase.has_ended() {
            return;
        }
        let flushed = self.poll_write(cx);
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

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outbox = self.socket.outbox();
        match &mut self.io {
            Io::Tcp(reader) => {
                // The flush comes first, because a sender may have written the whole queue while
                // the runtime considered the socket full. As long as it does, the flush makes no
                // system call.
                while outbox.flush(write_tcp)?.is_pending() {
                    ready!(reader.poll_write_ready(cx))?;
                }
                Poll::Ready(Ok(()))
            }
            Io::Stream(stream) => {
                ready!(outbox.flush(|_, slices| {
                    match stream.poll_write_vectored(cx, slices) {
                        Poll::Ready(written) => written,
                        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                    }
                }))?;
                stream.poll_flush(cx)
            }
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
