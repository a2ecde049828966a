//! What the peer is sent: one write for everything queued, and the end of our side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{Link, Phase};
use crate::transport::Socket;

impl Link {
    /// Ends our side of the stream once the last frame is written.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) {
        if self.blocked || !matches!(self.phase, Phase::Closed | Phase::Failing) {
            return;
        }
        // RFC 6455 section 7.1.1: the server ends the stream first. After a failure the peer may
        // still be sending: dropping the socket then would make the kernel discard our close frame.
        let ended = self.poll_shutdown(cx).is_ready();
        if ended && self.phase == Phase::Closed {
            self.lose();
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        let flushed = self.write(cx);
        self.blocked = flushed.is_pending();
        self.full = self.full && self.outbox().is_full();
        match flushed {
            Poll::Pending => self.clock.blocked(self.socket.outbox().written()),
            Poll::Ready(Ok(())) => self.clock.unblocked(),
            Poll::Ready(Err(_)) => self.ended(true),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = match &mut self.io {
            Socket::Tcp(reader) => {
                let mut blocked = self.blocked;
                loop {
                    if blocked {
                        ready!(reader.as_ref().poll_write_ready(cx))?;
                    }
                    let flushed = self.socket.outbox().flush_tcp();
                    if flushed.is_ready() {
                        return flushed;
                    }
                    blocked = true;
                }
            }
            Socket::Stream(stream) => stream,
        };
        ready!(self.socket.outbox().flush_with(|_, slices| {
            match Pin::new(&mut *stream).poll_write_vectored(cx, slices) {
                Poll::Ready(written) => written,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        }))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Socket::Tcp(_) => {
                self.socket.outbox().end();
                Poll::Ready(Ok(()))
            }
            Socket::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
