//! Listens, admits, spawns sessions, stops.

mod app;
mod bind;
mod build;
#[cfg(feature = "axum")]
pub(crate) mod http;
mod outage;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use self::app::App;
#[cfg(feature = "axum")]
pub use self::http::WebSocketService;
use crate::error::{HandlerError, Result};
#[cfg(feature = "axum")]
pub use crate::extract::json_body::JsonBody;
use crate::handshake::{Origins, Subprotocols};
use crate::hub::{RoomCheck, room_check};
pub use crate::limits::{Limits, RouteLimits};
use crate::middleware::{Layer, Middleware};
use crate::router::{Once, Router};
use crate::shutdown::{Owner, SignalTask};
pub use crate::shutdown::{ServerHandle, Shutdown, Stats};
use crate::state::StateMap;
pub use crate::transport::Listener;
use crate::websocket::WebSocket;

/// A WebSocket server: routers, state and limits, then [`run`](Self::run).
///
/// ```no_run
/// use aiows::{Result, Router, Server};
///
/// #[tokio::main]
/// async fn main() -> Result<()> {
///     let router = Router::new();
///     Server::new().include_router(router).run("127.0.0.1:8000").await
/// }
/// ```
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    root: Option<Router>,
    paths: Vec<(String, Router)>,
    layers: Vec<Layer>,
    state: StateMap,
    limits: Once<Limits>,
    origins: Once<Origins>,
    subprotocols: Once<Subprotocols>,
    shutdown_timeout: Once<Duration>,
    room_check: Once<RoomCheck>,
    needs_room: bool,
    owner: Owner,
    #[cfg(feature = "axum")]
    http: Once<axum::Router>,
}

impl Server {
    /// Makes a server without handlers.
    pub fn new() -> Self {
        Self {
            root: None,
            paths: Vec::new(),
            layers: Vec::new(),
            state: StateMap::default(),
            limits: Once::default(),
            origins: Once::default(),
            subprotocols: Once::default(),
            shutdown_timeout: Once::default(),
            room_check: Once::default(),
            needs_room: false,
            owner: Owner::default(),
            #[cfg(feature = "axum")]
            http: Once::default(),
        }
    }

    /// Adds a router for every path that no [`route`](Self::route) names.
    ///
    /// Its connections share the rooms of the namespace `root`, unless
    /// [`Router::namespace`](crate::Router::namespace) names another one.
    pub fn include_router(mut self, router: Router) -> Self {
        self.root = Some(self.root.unwrap_or_default().include(router));
        self
    }

    /// Binds a router to a URL path, like `/chat` or `/rooms/{room}`.
    ///
    /// A pattern is written as people read it, `/räume/{name}`, or percent-encoded, and matches requests
    /// for its percent-encoded form; `{{` and `}}` stand for braces. The last part of a path may be
    /// `{*rest}`, which also takes slashes. A pattern that no request can match is a mistake at the
    /// build.
    ///
    /// When a server has routes only, any other path is answered with 404.
    ///
    /// Each route has rooms, names and a [`Hub`](crate::Hub) of its own: connections of `/chat/{room}` and
    /// `/game/{room}` that join the room `red` do not reach each other. The namespace is named by the path
    /// as you write it here; [`Router::namespace`](crate::Router::namespace) puts several routes into one.
    /// [`Hub::namespace`](crate::Hub::namespace) finds it.
    pub fn route(mut self, path: impl Into<String>, router: Router) -> Self {
        self.paths.push((path.into(), router));
        self
    }

    /// Gives all handlers a state, which they take as `State<T>`.
    ///
    /// A second state of the same type is a mistake at the build. A test that runs the server of a
    /// program with another state calls [`replace_state`](Self::replace_state).
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Gives all handlers a state in place of the one of its type that they have, for tests.
    ///
    /// If the server has none, this is [`state`](Self::state). A router that has a state of this type
    /// keeps its own, see [`Router::replace_state`].
    ///
    /// ```
    /// use aiows::{Router, Server};
    ///
    /// #[derive(Clone)]
    /// struct Database {
    ///     url: &'static str,
    /// }
    ///
    /// fn server() -> Server {
    ///     Server::from(Router::new()).state(Database { url: "postgres://db" })
    /// }
    ///
    /// let tested = server().replace_state(Database { url: "memory" });
    /// # assert!(tested.build().is_ok());
    /// ```
    pub fn replace_state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.replace(state);
        self
    }

    /// Adds middleware around all handlers, outside of that of the routers.
    ///
    /// The first that is added is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::new(middleware));
        self
    }

    /// Sets what the server accepts and how long it waits. A second call is a mistake at the build, as
    /// for everything that a server has once. [`Router::limits`] sets it for one route.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits.give(limits);
        self
    }

    /// Lets pages of exactly these origins connect, in place of pages of this host.
    ///
    /// An origin is scheme, host and port: `https://example.com`, `http://localhost:3000`. Origins of
    /// other schemes, which applications made of web pages send, are compared as text:
    /// `capacitor://localhost`, `file://`. The origin `null` has to be named to be accepted. Requests
    /// without an `Origin` are not made by a page and pass. Source: RFC 6455 section 10.2.
    ///
    /// One call lists all origins; a second one, or one of [`allow_any_origin`](Self::allow_any_origin),
    /// is a mistake at the build.
    pub fn allow_origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.origins.give(Origins::Listed(origins.into_iter().map(Into::into).collect()));
        self
    }

    /// Lets any page connect. Only for services without cookies or other ambient rights.
    pub fn allow_any_origin(mut self) -> Self {
        self.origins.give(Origins::Any);
        self
    }

    /// Names the subprotocols the server speaks, the preferred first.
    ///
    /// The first of them that a client offers is agreed on, and
    /// [`WebSocket::subprotocol`](crate::WebSocket::subprotocol) tells it. A client that offers none
    /// of them, or nothing, is let in without one: browsers then fail a connection for which the
    /// page had named subprotocols, other clients may go on. Names are compared as they are. A route that
    /// speaks others says so with [`Router::subprotocols`].
    ///
    /// ```
    /// use aiows::{Router, Server, WebSocket, connect, routes};
    ///
    /// #[connect]
    /// async fn greet(ws: WebSocket) {
    ///     let old = ws.subprotocol() == Some("chat.v1");
    ///     println!("{} speaks the {} protocol", ws.id(), if old { "old" } else { "new" });
    /// }
    ///
    /// let server = Server::new()
    ///     .include_router(Router::new().routes(routes![greet]))
    ///     .subprotocols(["chat.v2", "chat.v1"]);
    /// # assert!(server.build().is_ok());
    /// ```
    pub fn subprotocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.subprotocols.give(Subprotocols::new(names));
        self
    }

    /// Asks `check` before any connection joins a room.
    ///
    /// Its error is what the join fails with. A second call is a mistake at the build.
    ///
    /// ```
    /// use aiows::{HandlerError, Result, Router, Server, WebSocket};
    ///
    /// async fn members_only(room: String, ws: WebSocket) -> Result {
    ///     match ws.user() {
    ///         Some(user) if room.starts_with(&*user) => Ok(()),
    ///         _ => Err(HandlerError::new("forbidden", "this is not your room")),
    ///     }
    /// }
    ///
    /// let server = Server::from(Router::new()).check_rooms(members_only);
    /// # assert!(server.build().is_ok());
    /// ```
    pub fn check_rooms<F, Fut, E>(mut self, check: F) -> Self
    where
        F: Fn(String, WebSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<HandlerError>,
    {
        self.room_check.give(room_check(check));
        self
    }

    /// Makes sending to everybody an error, [`SendError::NoRoom`](crate::SendError::NoRoom): for servers on which every message
    /// belongs to a room.
    pub fn require_room(mut self) -> Self {
        self.needs_room = true;
        self
    }

    /// Sets how long a stop may take before connections are cut: 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout.give(timeout);
        self
    }

    /// Returns a handle on the server; it may be taken before the server runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.owner.handle().clone()
    }

    /// Builds the server and serves every address `address` resolves to, until a signal.
    ///
    /// Of several addresses those are left out that this host does not have, as `::1` where IPv6 is
    /// off.
    ///
    /// SIGINT (Ctrl-C) and SIGTERM stop it: connections are closed with 1001, and the disconnect
    /// handlers run. A second signal cuts what is left. Dropping the future stops it too, see
    /// [`App::serve`].
    ///
    /// When this returns, a signal does again what it did before: by default it ends the process, also
    /// while your program cleans up. If your program handles these signals itself, install its handlers
    /// before you call this, or use [`serve`](Self::serve), which handles none.
    ///
    /// # Errors
    ///
    /// A mistake in the registration, an address that cannot be listened on, or a stop that was
    /// forced ([`HandlerError::is_forced`](crate::HandlerError::is_forced)); each is an [`Error`](crate::Error)
    /// that [`HandlerError::downcast_ref`](crate::HandlerError::downcast_ref) finds.
    pub async fn run(self, address: impl AsRef<str>) -> Result<()> {
        let app = self.build()?;
        let listeners = bind::bind(address.as_ref()).await?;
        let _signals = SignalTask::spawn(&app)?;
        Ok(app.serve(listeners).await?)
    }

    /// Builds the server and serves a TCP listener or a Unix socket's, until [`ServerHandle::shutdown`].
    ///
    /// [`App::serve`] takes several.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn serve(self, listener: impl Into<Listener>) -> Result<()> {
        Ok(self.build()?.serve([listener.into()]).await?)
    }
}

impl From<Router> for Server {
    fn from(router: Router) -> Self {
        Self::new().include_router(router)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("root", &self.root)
            .field("paths", &self.paths)
            .field("limits", &self.limits)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
