use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::server::App;

/// A socket a server accepts connections from: TCP or, on Unix systems, a Unix socket.
///
/// It is made from tokio's listeners. The file of a Unix socket is the caller's: it has to be removed
/// before it is bound again, and its permissions say who may connect.
///
/// ```no_run
/// use aiows::{Listener, Result, Router, Server};
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

enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// The address others can connect to; a Unix socket has none of this kind.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Socket::Unix(_) => Ok(None),
        }
    }

    /// Accepts one connection and has it served.
    pub(crate) async fn accept(&self, app: &App) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                app.spawn_tcp(stream, peer, app.half_open().await);
            }
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                app.spawn_stream(Box::new(stream), None, app.half_open().await);
            }
        }
        Ok(())
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
