use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use matchit::InsertError;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::handle::ServerHandle;
use super::{door, listen, shutdown};
use crate::error::Error;
use crate::limits::Limits;
use crate::router::Frozen;
use crate::session::Setting;
use crate::transport::{Origins, Stream};

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
    handle: ServerHandle,
    shutdown_timeout: Duration,
    #[cfg(feature = "axum")]
    http: Option<axum::Router>,
    /// Owns every task of the server.
    tasks: TaskTracker,
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
            if !path.starts_with('/') {
                mistakes.push(format!("path `{path}` does not start with `/`"));
            } else if let Err(error) = routes.insert(path.as_str(), Arc::new(router)) {
                mistakes.push(path_mistake(&path, &error));
            }
        }
        Self {
            inner: Arc::new(Inner {
                root: root.map(Arc::new),
                paths: routes,
                limits: Arc::new(limits),
                origins,
                handle,
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

    /// Serves listeners until [`ServerHandle::shutdown`], then stops.
    ///
    /// # Errors
    ///
    /// [`Error::is_forced`] when connections had to be cut.
    pub async fn serve(self, listeners: Vec<TcpListener>) -> Result<(), Error> {
        let mut addresses = Vec::new();
        for listener in &listeners {
            let address = listener.local_addr();
            addresses.push(address.map_err(|e| Error::runtime("a listener has no address", e))?);
        }
        tracing::info!(?addresses, "listening");
        // Dropped with this future, so that no listener outlives it.
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(listen::accept(listener, self.clone()));
        }
        self.handle().set_ready(addresses);
        self.handle().stopping().await;
        accepting.shutdown().await;
        shutdown::drain(&self).await
    }

    /// Serves one plain TCP connection, on a task of its own.
    pub(crate) fn spawn_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        self.inner.tasks.spawn(door::admit_tcp(stream, peer, self.clone()));
    }

    /// Serves a connection over any byte stream, on a task of its own.
    #[cfg_attr(not(feature = "test-util"), expect(dead_code, reason = "for the test kit"))]
    pub(crate) fn spawn_stream(&self, stream: Box<dyn Stream>) {
        self.inner.tasks.spawn(door::admit_stream(stream, self.clone()));
    }

    pub(super) fn router_for(&self, path: &str) -> Option<&Arc<Frozen>> {
        let found = self.inner.paths.at(path).ok().map(|found| found.value);
        found.or(self.inner.root.as_ref())
    }

    pub(super) fn setting(&self, router: &Arc<Frozen>) -> Setting {
        Setting {
            router: Arc::clone(router),
            limits: Arc::clone(&self.inner.limits),
            hub: Arc::clone(self.inner.handle.hub()),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.inner.origins
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    pub(super) fn shutdown_timeout(&self) -> Duration {
        self.inner.shutdown_timeout
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
