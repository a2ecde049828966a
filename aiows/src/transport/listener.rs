//! The sockets that a server accepts connections from.

use std::fmt;
use std::io;
use std::net::SocketAddr;

#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream};

use super::io::Stream;
use super::tcp::tune;

/// A socket that a server accepts connections from: TCP or, on Unix systems, a Unix socket.
///
/// You make it from a listener of tokio. The file of a Unix socket is yours: remove it before you
/// bind the socket again, and set its permissions to decide which users may connect.
///
/// ```no_run
/// use aiows::server::Listener;
/// use aiows::{Result, Router, Server};
/// use tokio::net::TcpListener;
///
/// # #[cfg(unix)]
/// #[tokio::main]
/// async fn main() -> Result<()> {
///     let listeners: [Listener; 2] = [
///         TcpListener::bind("127.0.0.1:8000").await?.into(),
///         tokio::net::UnixListener::bind("/run/chat.sock")?.into(),
///     ];
///     let app = Server::new().include_router(Router::new()).build()?;
///     Ok(app.serve(listeners).await?)
/// }
/// # #[cfg(not(unix))]
/// # fn main() {}
/// ```
pub struct Listener {
    socket: Socket,
}

/// A stream that was accepted.
pub(crate) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix sockets are other streams"))]
    Stream(Box<dyn Stream>),
}

enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Returns the address that clients can connect to. A Unix socket has none of this kind.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Socket::Unix(_) => Ok(None),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer_addr) = listener.accept().await?;
                tune(&stream);
                Ok(Accepted::Tcp(stream, peer_addr))
            }
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Stream(Box::new(stream)))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { socket: Socket::Tcp(listener) }
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { socket: Socket::Unix(listener) }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Socket::Tcp(listener) => listener.fmt(f),
            #[cfg(unix)]
            Socket::Unix(listener) => listener.fmt(f),
        }
    }
}
