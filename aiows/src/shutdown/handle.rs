use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::drain::Drain;
use super::lifecycle::ServerLifecycle;
use super::permits::{ConnectionPermit, NoPermit, StopWaiter};
use super::shared::Shared;
use crate::extract::{Call, Extraction, FromCall};
use crate::hub::Hub;
use crate::id::ConnectionId;
use crate::limits::deadline_after;
use crate::outbox::{CloseMode, Outbound};

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle on a running server: cheap to clone, usable from any task and as an extractor.
///
/// ```
/// use aiows::{ServerHandle, message};
///
/// #[message("stats")]
/// async fn stats(server: ServerHandle) -> serde_json::Value {
///     serde_json::json!({ "active": server.stats().active, "ready": server.is_ready() })
/// }
/// ```
#[derive(Clone)]
pub struct ServerHandle {
    server: Arc<Shared>,
    /// Set if a handler of this connection took the handle as an argument. A task of that handler
    /// may use it to await the stop.
    taken_by: Option<ConnectionId>,
}

/// Counts of a server's connections, and of the messages that were sent to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The number of open connections.
    pub active: usize,
    /// The number of connections that were accepted since the start.
    pub total: u64,
    /// The number of requests that were refused since the start.
    pub rejected: u64,
    /// The messages to all clients since the start, including those that have left.
    pub outbound: Outbound,
}

/// The end of a server, which you may await; see [`ServerHandle::shutdown`].
///
/// If you drop it, the server stops all the same.
pub struct Shutdown {
    server: Arc<Shared>,
    waiter: Option<StopWaiter>,
    /// Made by the first poll, because only then the waiting task is known.
    wait: Option<Wait>,
}

impl ServerHandle {
    pub(super) fn new() -> Self {
        Self { server: Arc::default(), taken_by: None }
    }

    /// Waits until the server listens, and returns the addresses it listens on.
    ///
    /// The list is empty if the server stopped or was dropped before it listened, for example
    /// because its address could not be bound.
    pub async fn ready(&self) -> Vec<SocketAddr> {
        self.lifecycle().ready().await
    }

    /// Stops the server: closes connections with 1001 and runs their disconnect handlers.
    ///
    /// The stop begins at once; await the returned value to wait for its end. Connections that are
    /// still open after `timeout` are cut. If you call it again, the earlier deadline counts. A
    /// stop is final: a server that is stopped before it runs cannot run any more.
    ///
    /// If you await it, it returns when every connection has ended, its disconnect handlers have
    /// run, and HTTP requests in flight are answered. It always returns, even if the server was
    /// never served or was dropped.
    ///
    /// You may also await it in a handler or in a page of `Server::http`. The server then waits for
    /// the other connections only and closes the connection of the handler last, so the messages
    /// and the answer of the handler still arrive. The server recognizes the handler by its task,
    /// and by the handle that it took as an argument of type `ServerHandle`. If a handler waits for
    /// another task that awaits the stop through a handle from elsewhere, both wait until `timeout`
    /// is over.
    ///
    /// ```
    /// use aiows::{ServerHandle, message};
    /// use std::time::Duration;
    ///
    /// #[message("stop")]
    /// async fn stop(server: ServerHandle) {
    ///     server.shutdown(Duration::from_secs(5)).await;
    /// }
    /// ```
    pub fn shutdown(&self, timeout: Duration) -> Shutdown {
        let permits = &self.server.permits;
        let waiter = self.taken_by.and_then(|connection| permits.waiter_of(connection));
        self.stop(deadline_after(timeout));
        Shutdown { server: Arc::clone(&self.server), waiter, wait: None }
    }

    /// Returns whether the server listens and is not stopping, for the check of a load balancer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lifecycle().is_ready()
    }

    /// Returns whether the server is stopping, has stopped or was dropped.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.lifecycle().is_over()
    }

    /// Returns the counts of the server. It visits each connection once.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let hub = &self.server.hub;
        Stats {
            active: hub.size(),
            total: hub.total(),
            rejected: self.server.rejected.load(Ordering::Relaxed),
            outbound: hub.outbound(),
        }
    }

    /// Returns the connections of the server, so that you can send to them from any task.
    ///
    /// ```
    /// use aiows::ServerHandle;
    ///
    /// async fn announce(server: ServerHandle) -> aiows::Result {
    ///     server.hub().room("lobby").send_text("the bar is open").await?;
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.server.hub.clone()
    }

    pub(crate) fn lifecycle(&self) -> &ServerLifecycle {
        &self.server.lifecycle
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.server.tasks
    }

    /// Takes one of `limit` permits for a connection. Dropping it gives it back.
    pub(crate) fn take_permit(&self, limit: usize) -> Result<ConnectionPermit, NoPermit> {
        let permit = self.server.permits.take(limit).ok_or(NoPermit::Full)?;
        // Checked after the permit is counted, so that a stop either waits for it or is seen here.
        match self.is_shutting_down() {
            true => Err(NoPermit::Stopping),
            false => Ok(permit),
        }
    }

    pub(crate) fn count_rejected(&self) {
        self.server.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Spawns the task that drains the server at its stop, unless it runs already.
    pub(crate) fn spawn_drain(&self, runtime: &Handle) {
        if self.lifecycle().start_accepting() {
            runtime.spawn(Drain { server: Arc::clone(&self.server) }.run());
        }
    }

    /// Begins the stop.
    pub(super) fn stop(&self, deadline: Instant) {
        // The drain task ends with its runtime, but connections on other runtimes may be left.
        let is_orphaned = || !self.lifecycle().is_started() && self.server.permits.are_taken();
        if is_orphaned() {
            let runtime = Handle::try_current().ok().or_else(|| self.server.hub.runtime());
            runtime.iter().for_each(|runtime| self.spawn_drain(runtime));
        }
        if is_orphaned() {
            // That runtime is gone, too, so no task can wait for the connections.
            self.server.close_all(CloseMode::Cut);
        }
        self.lifecycle().stop(deadline);
    }
}

impl Shutdown {
    fn wait(&mut self) -> Wait {
        if self.waiter.is_none() {
            self.waiter = self.server.permits.waiter_of_current_task();
        }
        let (server, is_connection) = (Arc::clone(&self.server), self.waiter.is_some());
        Box::pin(async move {
            match is_connection {
                true => server.lifecycle.drained().await,
                false => drop(server.lifecycle.ended().await),
            }
        })
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.wait.is_none() {
            self.wait = Some(self.wait());
        }
        match &mut self.wait {
            Some(wait) => wait.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shutdown")
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for ServerHandle {
    fn from_call(call: &Call) -> Extraction<Self> {
        let handle = call.state::<Self>().ok_or("the handler is not called by a server");
        let taken_by = Some(call.websocket().id());
        handle.map(|handle| Self { taken_by, ..handle }).into()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
