use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::drain::Drain;
use super::lifecycle::{Ending, Lifecycle};
use super::permits::{Asking, Place, Places};
use crate::extract::Call;
use crate::extract::{Extraction, FromCall};
use crate::hub::Hub;
use crate::id::ConnectionId;
use crate::limits::deadline_after;
use crate::outbox::{CloseMode, CloseRequest, Outbound};

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
    inner: Arc<Inner>,
    /// The connection of the handler that took this as its argument: tasks of the handler may await
    /// the stop with it.
    taken_by: Option<ConnectionId>,
}

#[derive(Default)]
struct Inner {
    hub: Hub,
    rejected: AtomicU64,
    places: Arc<Places>,
    lifecycle: Lifecycle,
    /// Owns every task of the server.
    tasks: TaskTracker,
}

/// Ends the server when the last `Server` or `App` is dropped.
pub(crate) struct Owner {
    handle: ServerHandle,
}

impl Owner {
    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self { handle: ServerHandle { inner: Arc::default(), taken_by: None } }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Connections keep their `App`, so there are none.
        self.handle.lifecycle().end(Ending::Orderly);
    }
}

/// The end of a server, which you may await; see [`ServerHandle::shutdown`].
///
/// Dropping it changes nothing: the server stops all the same.
pub struct Shutdown {
    handle: ServerHandle,
    asking: Option<Asking>,
    /// Made by the first poll, which shows who awaits the stop.
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Shutdown {
    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.asking.is_none() {
            self.asking = self.handle.inner.places.ask_for_current_task();
        }
        let (handle, is_asking) = (self.handle.clone(), self.asking.is_some());
        Box::pin(async move {
            match is_asking {
                true => handle.lifecycle().drained().await,
                false => drop(handle.lifecycle().ended().await),
            }
        })
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.over.is_none() {
            self.over = Some(self.wait());
        }
        match &mut self.over {
            Some(over) => over.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shutdown")
    }
}

/// Counts of a server's connections, and of what was sent to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub active: usize,
    /// Connections that were accepted since the start.
    pub total: u64,
    /// Requests that were refused since the start.
    pub rejected: u64,
    /// Messages to all peers since the start, those that are gone included.
    pub outbound: Outbound,
}

impl ServerHandle {
    /// Waits until the server listens, and returns the addresses it listens on.
    ///
    /// The list is empty if the server stopped or was dropped before it listened, for example because
    /// its address could not be bound.
    pub async fn ready(&self) -> Vec<SocketAddr> {
        self.lifecycle().ready().await
    }

    /// Stops the server: closes connections with 1001 and runs their disconnect handlers.
    ///
    /// The stop begins at once; await the returned value to wait for its end. Connections that are
    /// still open after `timeout` are cut. If you call it again, the earlier deadline counts. A stop
    /// is final: a server that is stopped before it runs does not run any more.
    ///
    /// Awaited, it returns when every connection has ended, its disconnect handlers have run, and
    /// HTTP requests in flight are answered. It always returns, also if the server was never served
    /// or was dropped.
    ///
    /// A handler, or a page of `Server::http`, may await it too: the server
    /// then waits for the other connections only, and closes that of the handler last, so what it
    /// sends and answers still arrives. The server recognizes this by the task that awaits, and by
    /// the handle a handler took as an argument of type `ServerHandle`. If a handler waits for another
    /// task that awaits the stop through a handle from elsewhere, both wait until `timeout` is over.
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
        let asking = self.taken_by.and_then(|connection| self.inner.places.ask_for(connection));
        self.stop(deadline_after(timeout));
        Shutdown { handle: self.clone(), asking, over: None }
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

    /// Returns the counts of the server's connections, which takes a look at each of them.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            active: self.inner.hub.size(),
            total: self.inner.hub.total(),
            rejected: self.inner.rejected.load(Ordering::Relaxed),
            outbound: self.inner.hub.outbound(),
        }
    }

    /// Returns the connections of the server, to send to from any task.
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
        self.inner.hub.clone()
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.inner.lifecycle
    }

    /// Spawns the task that drains the server when it stops, unless there is one.
    pub(crate) fn start(&self, runtime: &Handle) {
        if self.lifecycle().start() {
            runtime.spawn(Drain::new(self.clone()).run());
        }
    }

    /// Begins the stop.
    pub(crate) fn stop(&self, deadline: Instant) {
        // The drain task ends with its runtime, and connections on other runtimes may be left.
        let is_orphaned = || !self.lifecycle().is_started() && self.places().are_taken();
        if is_orphaned() {
            let runtime = Handle::try_current().ok().or_else(|| self.inner.hub.runtime());
            runtime.iter().for_each(|runtime| self.start(runtime));
        }
        if is_orphaned() {
            // That runtime is gone, too, so nobody can wait for them.
            self.close_all(CloseMode::Cut);
        }
        self.lifecycle().stop(deadline);
    }

    /// Closes every connection at once.
    pub(crate) fn close_all(&self, mode: CloseMode) {
        let request = CloseRequest::shutdown(mode);
        for socket in self.inner.hub.close_door(&request) {
            socket.outbox().request_close(request.clone());
        }
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    pub(crate) fn places(&self) -> &Places {
        &self.inner.places
    }

    pub(crate) fn count_rejected(&self) {
        self.inner.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one of `limit` places; dropping it gives it back.
    pub(crate) fn take_place(&self, limit: usize) -> Option<Place> {
        self.inner.places.take(limit)
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
