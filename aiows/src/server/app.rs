use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::outage::Outage;
use super::{Listener, bind};
use crate::admission::half_open::{HalfOpen, Handshakes};
use crate::admission::{self, paths};
use crate::error::Error;
use crate::handshake::Origins;
use crate::limits::Limits;
use crate::router::CompiledRouter;
use crate::session::{SessionConfig, UnfinishedTotal};
use crate::shutdown::{Ending, Owner, ServerHandle, StopOnDrop};
use crate::transport::Stream;

/// The names and the values of a path's parameters.
type Params<'a, 'p> = Vec<(&'a str, &'p str)>;

/// A server whose registration is in order, ready to serve.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    root: Option<Arc<CompiledRouter>>,
    paths: matchit::Router<Arc<CompiledRouter>>,
    limits: Arc<Limits>,
    origins: Origins,
    owner: Owner,
    handshakes: Arc<Handshakes>,
    outage: Outage,
    /// Unfinished messages of all connections.
    unfinished: Arc<UnfinishedTotal>,
    /// Refused connections there is room for while they read their answers.
    lingering: Semaphore,
    shutdown_timeout: Duration,
    #[cfg(feature = "axum")]
    http: Option<axum::Router>,
}

/// What an `App` is made of.
pub(super) struct Config {
    pub(super) root: Option<CompiledRouter>,
    pub(super) paths: Vec<(String, CompiledRouter)>,
    pub(super) limits: Arc<Limits>,
    pub(super) origins: Origins,
    pub(super) owner: Owner,
    pub(super) shutdown_timeout: Duration,
    #[cfg(feature = "axum")]
    pub(super) http: Option<axum::Router>,
}

impl App {
    pub(crate) fn new(config: Config, mistakes: &mut Vec<String>) -> Self {
        let paths = paths::table(config.paths, config.root.as_ref(), mistakes);
        let handshakes = config.limits.handshakes.min(Semaphore::MAX_PERMITS);
        Self {
            inner: Arc::new(Inner {
                root: config.root.map(Arc::new),
                paths,
                handshakes: Arc::new(Handshakes::new(handshakes)),
                outage: Outage::default(),
                lingering: Semaphore::new(handshakes),
                limits: config.limits,
                origins: config.origins,
                owner: config.owner,
                unfinished: Arc::default(),
                shutdown_timeout: config.shutdown_timeout,
                #[cfg(feature = "axum")]
                http: config.http,
            }),
        }
    }

    /// The application that answers requests for no WebSocket.
    #[cfg(feature = "axum")]
    pub(crate) fn http(&self) -> Option<&axum::Router> {
        self.inner.http.as_ref()
    }

    /// Returns the handle on the server.
    #[must_use]
    pub fn handle(&self) -> &ServerHandle {
        self.inner.owner.handle()
    }

    /// Serves any number of listeners until [`ServerHandle::shutdown`], then stops.
    ///
    /// A list of one kind is given as it is, one of several as [`Listener`]s. Without any the server
    /// has what [`serve_stream`](Self::serve_stream) gives it.
    ///
    /// If you drop the future, the server stops as with [`ServerHandle::shutdown`], within
    /// [`Server::shutdown_timeout`](crate::Server::shutdown_timeout): connections are closed with 1001
    /// by a task of the runtime, which [`ServerHandle::shutdown`] waits for. A stop is final.
    ///
    /// # Errors
    ///
    /// [`Error::is_forced`] when connections had to be cut.
    pub async fn serve<L: Into<Listener>>(
        self,
        listeners: impl IntoIterator<Item = L>,
    ) -> Result<(), Error> {
        let _stop = StopOnDrop::new(&self);
        let listeners: Vec<Listener> = listeners.into_iter().map(Into::into).collect();
        let mut addresses = Vec::new();
        for listener in &listeners {
            let address = listener.address();
            addresses.extend(address.map_err(|e| Error::runtime("a listener has no address", e))?);
        }
        tracing::info!(listeners = listeners.len(), ?addresses, "listening");
        self.start();
        for listener in listeners {
            self.tasks().spawn(bind::accept(listener, self.clone()));
        }
        self.handle().lifecycle().listen(addresses);
        self.ended().await
    }

    /// Spawns the task that drains the server when it stops, unless there is one.
    pub(crate) fn start(&self) {
        self.handle().start(&Handle::current());
    }

    /// Makes the server ready before `serve` is polled, for streams that are given to it.
    #[cfg(feature = "test-util")]
    pub(crate) fn begin(&self) {
        self.start();
        self.handle().lifecycle().listen(Vec::new());
    }

    /// Waits until the server has stopped.
    pub(crate) async fn ended(&self) -> Result<(), Error> {
        match self.handle().lifecycle().ended().await {
            Ending::Orderly => Ok(()),
            Ending::Forced => Err(Error::forced()),
        }
    }

    /// Waits until there is room for a socket that has just been accepted.
    pub(crate) async fn half_open(&self) -> HalfOpen {
        self.inner.handshakes.enter(self.limits().handshake_timeout).await
    }

    pub(crate) fn outage(&self) -> &Outage {
        &self.inner.outage
    }

    /// Takes room for one refused connection that reads its answer, if there is any.
    pub(crate) fn linger(&self) -> Option<SemaphorePermit<'_>> {
        self.inner.lingering.try_acquire().ok()
    }

    /// Serves one plain TCP connection, on a task of its own.
    pub(crate) fn spawn_tcp(&self, stream: TcpStream, peer: SocketAddr, half_open: HalfOpen) {
        self.tasks().spawn(admission::admit_tcp(stream, peer, half_open, self.clone()));
    }

    /// Serves one connection over any byte stream, on a task of its own.
    pub(crate) fn spawn_stream(
        &self,
        stream: Box<dyn Stream>,
        peer_addr: Option<SocketAddr>,
        half_open: HalfOpen,
    ) {
        self.tasks().spawn(admission::admit_stream(stream, peer_addr, half_open, self.clone()));
    }

    /// Serves one connection over any byte stream, on a task of its own.
    ///
    /// The stream begins with the request of the handshake, as it would on a socket; what came before,
    /// such as TLS, is the caller's, as is the number of streams at a time. `peer_addr` is who is at the
    /// other end, if that has an address. The connection ends with the server, for
    /// which [`serve`](Self::serve) has to run; a server that is stopping refuses it with 503.
    ///
    /// ```
    /// use aiows::{Listener, Router, Server};
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
    /// Its connection is locked while the stream is written: the stream's `poll_write` must not send to
    /// that connection, to a room or to everybody, and neither may what it calls, such as a subscriber
    /// that sends log lines to clients. If you need that, hand the line to another task.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve_stream(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer_addr: impl Into<Option<SocketAddr>>,
    ) {
        self.start();
        let half_open = HalfOpen::unbounded(self.limits().handshake_timeout);
        self.spawn_stream(Box::new(stream), peer_addr.into(), half_open);
    }

    /// Finds the router of a path, and the parameters it has there.
    pub(crate) fn router_for<'a, 'p>(
        &'a self,
        path: &'p str,
    ) -> Option<(&'a Arc<CompiledRouter>, Params<'a, 'p>)> {
        match self.inner.paths.at(path) {
            Ok(found) => Some((found.value, found.params.iter().collect())),
            Err(_) => self.inner.root.as_ref().map(|root| (root, Params::new())),
        }
    }

    pub(crate) fn setting(&self, router: &Arc<CompiledRouter>) -> SessionConfig {
        SessionConfig {
            router: Arc::clone(router),
            limits: Arc::clone(&router.limits),
            unfinished: Arc::clone(&self.inner.unfinished),
        }
    }

    /// The limits of the server, which those of a route may differ from.
    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn origins(&self) -> &Origins {
        &self.inner.origins
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        self.handle().tasks()
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.inner.shutdown_timeout
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("handle", self.handle()).finish_non_exhaustive()
    }
}
