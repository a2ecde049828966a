//! A stream with a timeout for writes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A stream on which a write fails if the client refuses to read for too long.
#[derive(Debug)]
pub(crate) struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    /// Runs while the stream takes no bytes.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, timer: None }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn poll_within<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<T>>,
        last: impl FnOnce(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let polled = poll(&mut self.stream, cx);
        if polled.is_ready() {
            self.timer = None;
            return polled;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(last(&self.stream))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

/// A stream that may be plain TCP.
pub(crate) trait MaybeTcp {
    fn as_tcp(&self) -> Option<&TcpStream>;
}

/// Writes past the readiness of tokio, as the last attempt before the timeout.
///
/// The kernel reports that a socket takes bytes only when a large part of those it holds is sent. A
/// client that reads slowly may not achieve that in time, although the socket takes some bytes
/// earlier.
fn write_last<S: MaybeTcp>(stream: &S, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
    let Some(tcp) = stream.as_tcp() else { return timed_out(stream) };
    match SockRef::from(tcp).send_vectored(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => timed_out(stream),
        written => written,
    }
}

fn timed_out<S, T>(_: &S) -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

impl<S: AsyncWrite + MaybeTcp + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |stream: &mut S, cx: &mut Context<'_>| Pin::new(stream).poll_write(cx, bytes);
        self.poll_within(cx, write, |stream| write_last(stream, &[IoSlice::new(bytes)]))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_within(cx, |stream, cx| Pin::new(stream).poll_flush(cx), timed_out)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_within(cx, |stream, cx| Pin::new(stream).poll_shutdown(cx), timed_out)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write =
            |stream: &mut S, cx: &mut Context<'_>| Pin::new(stream).poll_write_vectored(cx, bytes);
        self.poll_within(cx, write, |stream| write_last(stream, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
