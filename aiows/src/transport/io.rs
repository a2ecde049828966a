//! The byte stream of one connection: plain TCP, or any other stream.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::error::{Panic, drop_quietly};

/// A byte stream that a session can run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The part of a connection that its session owns, chosen when the connection is accepted.
///
/// The write half of plain TCP belongs to the outbox, so that publishers can write without the
/// session. Any other stream is written by the session alone.
pub(crate) enum Io {
    Stream(CatchUnwindStream),
    Tcp(TcpReader),
}

/// How a client has hung up while the server does not read from it.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    expect(
        dead_code,
        reason = "other systems do not report how a client hangs up while it is not read from"
    )
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The client has ended its side of the stream. Bytes before the end may wait in the socket.
    Finished,
    /// The connection was reset. No more messages can be delivered.
    Reset,
}

/// Which way of hanging up to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangupInterest {
    Any,
    /// Only a reset: the client is known to have ended its side of the stream.
    Reset,
}

type Watch = Pin<Box<dyn Future<Output = Hangup> + Send>>;

/// A stream on which a connection was accepted.
pub(crate) trait Transport: Stream + 'static {
    /// Splits the stream into the parts of the session and of the outbox.
    fn split(self) -> (Io, Option<TcpWriter>);
}

impl Transport for TcpStream {
    fn split(self) -> (Io, Option<TcpWriter>) {
        let stream = Arc::new(self);
        let writer = TcpWriter { stream: Arc::clone(&stream) };
        (Io::Tcp(TcpReader { stream, watch: None }), Some(writer))
    }
}

impl Transport for Box<dyn Stream> {
    fn split(self) -> (Io, Option<TcpWriter>) {
        (Io::Stream(CatchUnwindStream { stream: Some(self), panic: None }), None)
    }
}

impl Io {
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => stream.poll(cx, |stream, cx| stream.poll_read(cx, buffer)),
            Self::Tcp(reader) => reader.poll_read(cx, buffer),
        }
    }

    /// Writes; plain TCP through the write half that the outbox owns. Registers a waker if it fails
    /// with `WouldBlock`.
    pub(crate) fn write(
        &mut self,
        cx: &mut Context<'_>,
        writer: Option<&TcpWriter>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => {
                let poll = stream.poll(cx, |stream, cx| stream.poll_write_vectored(cx, slices));
                let Poll::Ready(written) = poll else {
                    return Err(io::ErrorKind::WouldBlock.into());
                };
                let written = written?;
                if written > slices.iter().map(|slice| slice.len()).sum() {
                    let text = "the stream reported that it wrote more than it was given";
                    return Err(io::Error::other(text));
                }
                Ok(written)
            }
            Self::Tcp(reader) => {
                let writer = writer.ok_or(io::ErrorKind::BrokenPipe)?;
                loop {
                    // As long as the runtime considers the socket full, this makes no system call.
                    match writer.write(slices) {
                        Err(error)
                            if error.kind() == io::ErrorKind::WouldBlock
                                && reader.stream.poll_write_ready(cx)?.is_ready() => {}
                        written => return written,
                    }
                }
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => stream.poll(cx, |stream, cx| stream.poll_flush(cx)),
            Self::Tcp(_) => Poll::Ready(Ok(())),
        }
    }

    /// Ends the server's side of the stream. On plain TCP the outbox does that.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => stream.poll(cx, |stream, cx| stream.poll_shutdown(cx)),
            Self::Tcp(_) => Poll::Ready(Ok(())),
        }
    }

    /// Notices a client that hangs up while the server does not read from it. Stays pending if the
    /// stream cannot report that.
    pub(crate) fn poll_hangup(
        &mut self,
        cx: &mut Context<'_>,
        interest: HangupInterest,
    ) -> Poll<Hangup> {
        match self {
            Self::Stream(_) => Poll::Pending,
            Self::Tcp(reader) => reader.poll_hangup(cx, interest),
        }
    }

    /// Returns whether [`poll_hangup`](Self::poll_hangup) can notice a client that hangs up.
    pub(crate) fn reports_hangup(&self) -> bool {
        cfg!(any(target_os = "linux", target_os = "android")) && matches!(self, Self::Tcp(_))
    }
}

/// The read half of a TCP connection.
pub(crate) struct TcpReader {
    stream: Arc<TcpStream>,
    /// Waits for the client to hang up. Created while the server does not read, and dropped by the
    /// next read.
    watch: Option<Watch>,
}

impl TcpReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.watch = None;
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let room = buffer.initialize_unfilled();
            let mut taken = None;
            let read = self.stream.try_io(Interest::READABLE, || {
                let read = (&*SockRef::from(&*self.stream)).read(room)?;
                taken = Some(read);
                // A short read has emptied the socket. Reporting this here, like tokio's own reads
                // do, saves a call that would find the socket empty. Readiness that has arrived
                // since is kept.
                let is_short = 0 < read && read < room.len();
                if cfg!(any(target_os = "linux", target_os = "android")) && is_short {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (taken, read) {
                (Some(taken), _) => {
                    buffer.advance(taken);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_hangup(&mut self, cx: &mut Context<'_>, interest: HangupInterest) -> Poll<Hangup> {
        // Unlike readability, these are not ready if bytes wait unread.
        let interest = match interest {
            HangupInterest::Any => Interest::PRIORITY | Interest::ERROR,
            HangupInterest::Reset => Interest::ERROR,
        };
        let stream = &self.stream;
        let watch = self.watch.get_or_insert_with(|| {
            let stream = Arc::clone(stream);
            Box::pin(async move {
                match stream.ready(interest).await {
                    Ok(ready) if !ready.is_error() => Hangup::Finished,
                    Ok(_) | Err(_) => Hangup::Reset,
                }
            })
        });
        let hangup = ready!(watch.as_mut().poll(cx));
        self.watch = None;
        Poll::Ready(hangup)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn poll_hangup(&mut self, _: &mut Context<'_>, _: HangupInterest) -> Poll<Hangup> {
        Poll::Pending
    }
}

/// The write half of a TCP connection. Dropping it ends the server's side of the stream.
#[derive(Debug)]
pub(crate) struct TcpWriter {
    stream: Arc<TcpStream>,
}

impl TcpWriter {
    /// Writes the bytes that the socket takes, unless the runtime knows that it takes none.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // The common case, which takes a shorter path in the kernel.
            [slice] => self.stream.try_write(slice),
            slices => self.stream.try_write_vectored(slices),
        }
    }

    /// Writes without checking the runtime's readiness of the socket.
    pub(crate) fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(&*self.stream).send_vectored(slices)
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        // Fails if the client has left, because its reset has also ended the server's side.
        let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Write);
    }
}

/// A stream of the application. Its panics become errors. After a panic it is not polled again. If
/// the stream is interrupted, it is polled again in the next turn.
pub(crate) struct CatchUnwindStream {
    /// `None` only while this is dropped.
    stream: Option<Box<dyn Stream>>,
    /// The payload of the panic. It is dropped together with the stream, and not before: the outbox
    /// is locked while the stream is written, and the drops may use the outbox. Boxed twice to keep
    /// this small.
    panic: Option<Box<Panic>>,
}

/// The error of a stream that has panicked. The session logs it.
#[derive(Debug, thiserror::Error)]
#[error("the stream panicked")]
pub(crate) struct StreamPanicked;

impl StreamPanicked {
    pub(crate) fn caused(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

impl CatchUnwindStream {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut dyn Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Self { stream: Some(stream), panic: None } = self else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let stream: Pin<&mut dyn Stream> = Pin::new(&mut **stream);
        let polled = catch_unwind(AssertUnwindSafe(|| poll(stream, cx)));
        if let Ok(Poll::Ready(Err(error))) = &polled
            && error.kind() == io::ErrorKind::Interrupted
        {
            // Not at once, because the stream may be interrupted without end.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled.unwrap_or_else(|panic| {
            self.panic = Some(Box::new(panic));
            Poll::Ready(Err(io::Error::other(StreamPanicked)))
        })
    }
}

impl Drop for CatchUnwindStream {
    fn drop(&mut self) {
        drop_quietly(self.stream.take());
        drop_quietly(self.panic.take());
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Io::Stream",
            Self::Tcp(_) => "Io::Tcp",
        })
    }
}
