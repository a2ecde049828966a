use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use matchit::InsertError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::handle::ServerHandle;
use super::listener::Listener;
use super::{door, listen, shutdown};
use crate::error::Error;
use crate::limits::Limits;
use crate::router::Frozen;
use crate::session::{Setting, UnfinishedTotal};
use crate::transport::{Origins, Stream, Subprotocols};

/// The names and the values of a path's parameters.
type Params<'a, 'p> = Vec<(&'a str, &'p str)>;

/// A server whose registration is in order, ready to serve.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    root: Option<Arc<Frozen>>,
    paths: matchit::Router<Arc<Frozen>>,
    limits: Arc<Limits>,
    origins: Origins,
    subprotocols: Subprotocols,
    handle: ServerHandle,
    /// Half-open connections there is room for.
    handshakes: Arc<Semaphore>,
    /// Unfinished messages of all connections.
    unfinished: Arc<UnfinishedTotal>,
    shutdown_timeout: Duration,
    #[cfg(feature = "axum")]
    http: Option<axum::Router>,
    /// Owns every task of the server.
    tasks: TaskTracker,
}

/// A connection whose request is not decided yet; it is one no longer when this is dropped.
#[derive(Default)]
pub(super) struct HalfOpen {
    _permit: Option<OwnedSemaphorePermit>,
}

impl App {
    pub(super) fn new(
        root: Option<Frozen>,
        paths: Vec<(String, Frozen)>,
        limits: Limits,
        origins: Origins,
        handle: ServerHandle,
        mistakes: &mut Vec<String>,
    ) -> Self {
        let mut routes = matchit::Router::new();
        for (path, router) in paths {
            check_path(&path, &router, mistakes);
            check_room(&path, &router, mistakes);
            if !path.starts_with('/') {
                mistakes.push(format!("path `{path}` does not start with `/`"));
            } else if let Err(error) = routes.insert(path.as_str(), Arc::new(router)) {
                mistakes.push(path_mistake(&path, &error));
            }
        }
        if let Some(root) = &root {
            check_path("", root, mistakes);
            check_room("", root, mistakes);
        }
        Self {
            inner: Arc::new(Inner {
                root: root.map(Arc::new),
                paths: routes,
                handshakes: Arc::new(Semaphore::new(limits.handshakes.min(Semaphore::MAX_PERMITS))),
                limits: Arc::new(limits),
                origins,
                subprotocols: Subprotocols::default(),
                handle,
                unfinished: Arc::default(),
                shutdown_timeout: Duration::ZERO,
                #[cfg(feature = "axum")]
                http: None,
                tasks: TaskTracker::new(),
            }),
        }
    }

    pub(super) fn with_shutdown_timeout(mut self, timeout: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.shutdown_timeout = timeout;
        }
        self
    }

    pub(super) fn with_subprotocols(mut self, subprotocols: Subprotocols) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.subprotocols = subprotocols;
        }
        self
    }

    #[cfg(feature = "axum")]
    pub(super) fn with_http(mut self, http: Option<axum::Router>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.http = http;
        }
        self
    }

    /// The application that answers requests for no WebSocket.
    #[cfg(feature = "axum")]
    pub(super) fn http(&self) -> Option<&axum::Router> {
        self.inner.http.as_ref()
    }

    /// Returns the handle on the server.
    #[must_use]
    pub fn handle(&self) -> &ServerHandle {
        &self.inner.handle
    }

    /// Serves any number of listeners until [`ServerHandle::shutdown`], then stops.
    ///
    /// A list of one kind is given as it is, one of several as [`Listener`]s. Without any the server
    /// has what [`serve_stream`](Self::serve_stream) gives it.
    ///
    /// # Errors
    ///
    /// [`Error::is_forced`] when connections had to be cut.
    pub async fn serve<L: Into<Listener>>(
        self,
        listeners: impl IntoIterator<Item = L>,
    ) -> Result<(), Error> {
        let listeners: Vec<Listener> = listeners.into_iter().map(Into::into).collect();
        let mut addresses = Vec::new();
        for listener in &listeners {
            let address = listener.address();
            addresses.extend(address.map_err(|e| Error::runtime("a listener has no address", e))?);
        }
        tracing::info!(listeners = listeners.len(), ?addresses, "listening");
        // Dropped with this future, so that no listener outlives it.
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(listen::accept(listener, self.clone()));
        }
        self.handle().set_ready(addresses);
        self.handle().set_served();
        self.handle().stopping().await;
        accepting.shutdown().await;
        shutdown::drain(&self).await
    }

    /// Waits until there is room for one more half-open connection.
    pub(super) async fn half_open(&self) -> HalfOpen {
        let permit = Arc::clone(&self.inner.handshakes).acquire_owned().await;
        // Nobody closes the semaphore.
        HalfOpen { _permit: permit.ok() }
    }

    /// Serves one plain TCP connection, on a task of its own.
    pub(super) fn spawn_tcp(&self, stream: TcpStream, peer: SocketAddr, half_open: HalfOpen) {
        self.inner.tasks.spawn(door::admit_tcp(stream, peer, half_open, self.clone()));
    }

    /// Serves one connection over any byte stream, on a task of its own.
    pub(super) fn spawn_stream(
        &self,
        stream: Box<dyn Stream>,
        peer_addr: Option<SocketAddr>,
        half_open: HalfOpen,
    ) {
        self.inner.tasks.spawn(door::admit_stream(stream, peer_addr, half_open, self.clone()));
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
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve_stream(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer_addr: impl Into<Option<SocketAddr>>,
    ) {
        self.spawn_stream(Box::new(stream), peer_addr.into(), HalfOpen::default());
    }

    /// Finds the router of a path, and the parameters it has there.
    pub(super) fn router_for<'a, 'p>(
        &'a self,
        path: &'p str,
    ) -> Option<(&'a Arc<Frozen>, Params<'a, 'p>)> {
        match self.inner.paths.at(path) {
            Ok(found) => Some((found.value, found.params.iter().collect())),
            Err(_) => self.inner.root.as_ref().map(|root| (root, Params::new())),
        }
    }

    pub(super) fn setting(&self, router: &Arc<Frozen>) -> Setting {
        Setting {
            router: Arc::clone(router),
            limits: Arc::clone(&self.inner.limits),
            hub: self.inner.handle.hub(),
            unfinished: Arc::clone(&self.inner.unfinished),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.inner.origins
    }

    pub(super) fn subprotocols(&self) -> &Subprotocols {
        &self.inner.subprotocols
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    pub(super) fn shutdown_timeout(&self) -> Duration {
        self.inner.shutdown_timeout
    }
}

fn check_path(path: &str, router: &Frozen, mistakes: &mut Vec<String>) {
    if let Some(title) = router.asked.path()
        && !path.contains('{')
    {
        mistakes.push(format!(
            "handler {title} takes `Path`, but its router is bound to no path with a parameter"
        ));
    }
}

fn check_room(path: &str, router: &Frozen, mistakes: &mut Vec<String>) {
    if let Some(room) = &router.room
        && !path.contains(&format!("{{{room}}}"))
        && !path.contains(&format!("{{*{room}}}"))
    {
        mistakes.push(format!(
            "a router joins the room `{{{room}}}` of its path, but is bound to no path with that parameter"
        ));
    }
}

fn path_mistake(path: &str, error: &InsertError) -> String {
    match error {
        InsertError::Conflict { with } if with == path => {
            format!("path `{path}` is routed twice")
        }
        InsertError::Conflict { with } => {
            format!("paths `{path}` and `{with}` match the same requests")
        }
        _ => format!("path `{path}` is not valid: {error}"),
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("handle", &self.inner.handle).finish_non_exhaustive()
    }
}
