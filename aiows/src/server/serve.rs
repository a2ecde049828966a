//! The methods that run a server.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use super::accept::{accept, spawn};
use super::bind::bind;
use super::{App, Server};
use crate::error::Error;
use crate::shutdown::{SignalTask, StopOnDrop};
use crate::transport::{Listener, Stream};

impl Server {
    /// Builds the server and serves every address that `address` resolves to, until a signal.
    ///
    /// If there are several addresses, those that this host does not have are left out, as `::1`
    /// where IPv6 is off.
    ///
    /// SIGINT (Ctrl-C) and SIGTERM stop the server: connections are closed with 1001, and the
    /// disconnect handlers run. A second signal cuts the connections that are left. The server also
    /// stops if you drop the future, see [`App::serve`].
    ///
    /// When this returns, a signal has the effect it had before. By default it ends the process,
    /// even while your program cleans up. If your program handles these signals itself, install its
    /// handlers before you call this, or use [`serve`](Self::serve), which handles no signal.
    ///
    /// # Errors
    ///
    /// - [`Error::is_registration`] if the registration has mistakes
    /// - [`Error::is_bind`] if an address cannot be resolved or listened on
    /// - [`Error::is_forced`] if connections had to be cut
    /// - [`Error::is_io`] if the operating system refused something, such as an address
    pub async fn run(self, address: impl AsRef<str>) -> Result<(), Error> {
        let app = self.build()?;
        let listeners = bind(address.as_ref()).await?;
        let _signals = SignalTask::spawn(app.handle(), app.inner.shutdown_timeout)?;
        app.serve(listeners).await
    }

    /// Builds the server and serves a TCP listener or the listener of a Unix socket, until
    /// [`ServerHandle::shutdown`](crate::ServerHandle::shutdown).
    ///
    /// [`App::serve`] takes several listeners.
    ///
    /// # Errors
    ///
    /// - [`Error::is_registration`] if the registration has mistakes
    /// - [`Error::is_forced`] if connections had to be cut
    /// - [`Error::is_io`] if the operating system refused something
    pub async fn serve(self, listener: impl Into<Listener>) -> Result<(), Error> {
        self.build()?.serve([listener.into()]).await
    }
}

impl App {
    /// Serves any number of listeners until
    /// [`ServerHandle::shutdown`](crate::ServerHandle::shutdown), then stops.
    ///
    /// Pass listeners of one kind as they are, and listeners of several kinds as [`Listener`]s. If
    /// you pass none, the server has the streams of [`serve_stream`](Self::serve_stream) only.
    ///
    /// If you drop the future, the server stops as with `ServerHandle::shutdown`, within
    /// [`Server::shutdown_timeout`]: a task of the runtime closes the connections with 1001, and
    /// `ServerHandle::shutdown` waits for it. A stop is final.
    ///
    /// # Errors
    ///
    /// - [`Error::is_forced`] if connections had to be cut
    /// - [`Error::is_io`] if the operating system refused something
    pub async fn serve<L: Into<Listener>>(
        self,
        listeners: impl IntoIterator<Item = L>,
    ) -> Result<(), Error> {
        let (handle, timeout) = (self.handle().clone(), self.inner.shutdown_timeout);
        let _stop = StopOnDrop { handle, timeout };
        let listeners: Vec<Listener> = listeners.into_iter().map(Into::into).collect();
        let mut addresses = Vec::new();
        for listener in &listeners {
            let address = listener.address();
            addresses.extend(address.map_err(|e| Error::runtime("a listener has no address", e))?);
        }
        tracing::info!(listeners = listeners.len(), ?addresses, "listening");
        self.spawn_drain();
        for listener in listeners {
            self.handle().tasks().spawn(accept(listener, self.clone()));
        }
        self.handle().lifecycle().listen(addresses);
        self.ended().await
    }

    /// Serves one connection over any byte stream, on a task of its own.
    ///
    /// The stream begins with the upgrade request, as it would on a socket. Your program performs
    /// earlier steps, such as TLS, and bounds the number of streams. `peer_addr` is the address of
    /// the client, if it has one. The connection ends with the server, for which
    /// [`serve`](Self::serve) must run. A server that is stopping refuses the connection with 503.
    ///
    /// ```
    /// use aiows::server::Listener;
    /// use aiows::{Router, Server};
    /// use std::time::Duration;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> aiows::Result {
    /// let app = Server::new().include_router(Router::new()).build()?;
    /// let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
    ///
    /// let (mut client, server) = tokio::io::duplex(4096);
    /// app.serve_stream(server, None);
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer).await?;
    /// assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    ///
    /// app.handle().shutdown(Duration::from_secs(1));
    /// serving.await??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The connection is locked while the stream is written. The `poll_write` of the stream must
    /// not send to that connection, to a room or to all connections, and neither must code that it
    /// calls, such as a subscriber that sends log lines to clients. If you need that, pass the line
    /// to another task.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn serve_stream(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer_addr: impl Into<Option<SocketAddr>>,
    ) {
        self.spawn_drain();
        let stream: Box<dyn Stream> = Box::new(stream);
        let half_open = self.inner.admission.uncounted();
        spawn(self, stream, peer_addr.into(), half_open);
    }
}
