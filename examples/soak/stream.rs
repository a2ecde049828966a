//! A TCP stream that can end its writing side before its reading side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// After [`finish`](Self::finish), the stream discards all writes. tungstenite answers pings while
/// it reads, and would stop reading if such a write failed.
pub(crate) struct ClientStream {
    tcp: TcpStream,
    writing: Writing,
}

enum Writing {
    Open,
    Finished,
}

impl ClientStream {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, writing: Writing::Open }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.writing = Writing::Finished;
        self.tcp.shutdown().await
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.writing {
            Writing::Open => Pin::new(&mut self.tcp).poll_write(cx, buf),
            Writing::Finished => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
