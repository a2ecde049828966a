//! What the client is sent: one write for everything queued.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Answers, ConnectionIo};
use crate::outbox::{Writability, write_tcp};
use crate::transport::Io;

/// More than a ping (at most 127 bytes with its head), so that pings alone never count.
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
            Poll::Pending => self.clock.note_blocked(self.outbox().written(), enough(&self.io)),
            Poll::Ready(Ok(())) if self.clock.is_blocked() => {
                self.clock.note_unblocked(self.outbox().written(), enough(&self.io));
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
                // First, because a sender may have written everything while the socket counted as
                // full. Until it has room again this makes no system call.
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

/// How many bytes of a socket that was full are a sign of life. A stream of the user may be pending
/// before every write; then that it takes a ping says nothing of the client.
fn enough(io: &Io) -> u64 {
    match io {
        Io::Tcp(_) => 0,
        Io::Stream(_) => MIN_TAKEN_BY_STREAM,
    }
}
