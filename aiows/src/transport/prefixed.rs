//! A stream with bytes in front that were read from it before.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::write_timeout::MaybeTcp;

/// A stream from which the first bytes were read before. They are read again first.
#[derive(Debug)]
pub(crate) struct Prefixed<S> {
    /// The bytes to read first; freed once they are read.
    prefix: Vec<u8>,
    /// How many bytes of the prefix were read.
    taken: usize,
    stream: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(prefix: Vec<u8>, stream: S) -> Self {
        Self { prefix, taken: 0, stream }
    }

    /// Returns the stream and the bytes of the prefix that were not read.
    pub(crate) fn into_parts(mut self) -> (S, Vec<u8>) {
        (self.stream, self.prefix.split_off(self.taken))
    }
}

impl<S: 'static> MaybeTcp for Prefixed<S> {
    fn as_tcp(&self) -> Option<&TcpStream> {
        (&self.stream as &dyn Any).downcast_ref()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = &this.prefix[this.taken..];
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        this.taken += length;
        if this.taken == this.prefix.len() {
            // Freed, because a connection may live long after its first request.
            this.prefix = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn the_prefix_is_read_before_the_stream() {
        let mut stream = Prefixed::new(b"first".to_vec(), &b", second"[..]);
        let mut start = [0; 2];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"fi");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rst, second");
    }

    #[tokio::test]
    async fn unread_bytes_of_the_prefix_are_returned() {
        let mut stream = Prefixed::new(b"first".to_vec(), &b""[..]);
        stream.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(stream.into_parts().1, b"rst");
    }
}
