use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::call::Call;
use crate::extract::{Extraction, FromCall};
use crate::hub::Hub;
use crate::outbox::Outbound;

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
    /// It was given to a handler by the server.
    in_handler: bool,
}

struct Inner {
    hub: Hub,
    rejected: AtomicU64,
    /// Connections that hold a place, from before their handshake to their end.
    places: AtomicUsize,
    addresses: watch::Sender<Option<Vec<SocketAddr>>>,
    stop: watch::Sender<Option<Stop>>,
    /// Set when nobody is left but the handlers that wait for just that.
    drained: watch::Sender<bool>,
    asking: AtomicUsize,
    /// Somebody drains the server when it is to stop.
    is_served: AtomicBool,
}

/// The end of a server, to be awaited; see [`ServerHandle::shutdown`].
///
/// Dropping it changes nothing: the server stops all the same.
pub struct Shutdown {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(cx)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shutdown")
    }
}

/// Counts a handler that waits for the server to stop, for which the server must not wait.
struct Asking {
    inner: Arc<Inner>,
}

impl Asking {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.asking.fetch_add(1, Ordering::Relaxed);
        inner.hub.recount();
        Self { inner: Arc::clone(inner) }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.inner.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An order to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Within this time, or the server's own.
    Within(Option<Duration>),
    Now,
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
    /// It returns nothing when the server is gone before it ever listened.
    pub async fn ready(&self) -> Vec<SocketAddr> {
        let mut addresses = self.inner.addresses.subscribe();
        let ready = addresses.wait_for(Option::is_some).await;
        ready.ok().and_then(|addresses| addresses.clone()).unwrap_or_default()
    }

    /// Stops the server: connections are closed with 1001 and their disconnect handlers run.
    ///
    /// It begins at once; awaiting what it returns waits for the end. What is left after `timeout` is
    /// cut. A second call does not prolong the first.
    ///
    /// A handler may await it through the handle it took as its argument: its own connection is
    /// then waited for last, so what it sends and answers still arrives.
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
        let asking = self.in_handler.then(|| Asking::new(&self.inner));
        self.stop(Stop::Within(Some(timeout)));
        let is_served = self.inner.is_served.load(Ordering::Acquire);
        let mut drained = self.inner.drained.subscribe();
        let future = async move {
            let _asking = asking;
            if !is_served {
                return;
            }
            // The sender is dropped with the server, which is an end as well.
            let _ = drained.wait_for(|drained| *drained).await;
        };
        Shutdown { future: Box::pin(future) }
    }

    /// Tells whether the server listens and is not stopping: what a load balancer asks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.addresses.borrow().is_some() && !self.is_shutting_down()
    }

    /// Tells whether the server is stopping or has stopped.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.inner.stop.borrow().is_some()
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

    pub(super) fn stop(&self, stop: Stop) {
        self.inner.stop.send_if_modified(|current| {
            let first = current.is_none();
            let change = first || stop == Stop::Now;
            if change {
                *current = Some(stop);
            }
            change
        });
    }

    /// Waits for the first order to stop.
    pub(super) async fn stopping(&self) -> Stop {
        self.wait_for(|_| true).await
    }

    /// Waits for the order to stop at once.
    pub(super) async fn forced(&self) {
        self.wait_for(|stop| stop == Stop::Now).await;
    }

    async fn wait_for(&self, wanted: impl Fn(Stop) -> bool) -> Stop {
        let mut stop = self.inner.stop.subscribe();
        let found = stop.wait_for(|stop| stop.is_some_and(&wanted)).await;
        // The sender lives in `self`.
        found.ok().and_then(|stop| *stop).unwrap_or(Stop::Now)
    }

    /// The handle that handlers get, as their argument or as a state.
    pub(super) fn for_handlers(&self) -> Self {
        Self { in_handler: true, ..self.clone() }
    }

    /// Says that whoever calls this will drain the server.
    pub(super) fn set_served(&self) {
        self.inner.is_served.store(true, Ordering::Release);
    }

    /// Waits until only handlers are left that wait for the stop themselves.
    pub(super) async fn drained(&self) {
        self.inner.hub.drained(|| self.inner.asking.load(Ordering::Relaxed)).await;
    }

    /// Lets everybody who awaits the stop go on.
    pub(super) fn set_drained(&self) {
        self.inner.drained.send_replace(true);
    }

    pub(super) fn set_ready(&self, addresses: Vec<SocketAddr>) {
        self.inner.addresses.send_replace(Some(addresses));
    }

    pub(super) fn count_rejected(&self) {
        self.inner.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one of `limit` places; it is given back when the returned value is dropped.
    pub(super) fn take_place(&self, limit: usize) -> Option<Place> {
        let places = &self.inner.places;
        let taken = places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < limit).then_some(taken + 1)
        });
        taken.ok().map(|_| Place { handle: self.clone() })
    }
}

/// A connection's share of `Limits::connections`.
pub(super) struct Place {
    handle: ServerHandle,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handle.inner.places.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for ServerHandle {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                hub: Hub::default(),
                rejected: AtomicU64::new(0),
                places: AtomicUsize::new(0),
                addresses: watch::Sender::new(None),
                stop: watch::Sender::new(None),
                drained: watch::Sender::new(false),
                asking: AtomicUsize::new(0),
                is_served: AtomicBool::new(false),
            }),
            in_handler: false,
        }
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for ServerHandle {
    fn from_call(call: &Call) -> Extraction<Self> {
        call.state::<Self>().ok_or("the handler is not called by a server").into()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
