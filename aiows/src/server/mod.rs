//! Servers: build one with [`Server`], run it, and stop it with a [`ServerHandle`].
//!
//! For most programs [`Server::run`] is enough. [`Server::build`] returns an [`App`], which also
//! serves several listeners and streams of your own. A [`ServerHandle`] stops a server and returns
//! its connections and counts.

// Builds a server, accepts connections and serves them:
//
// - `build.rs`: checks the registration and compiles the routers
// - `app.rs`: `App`, a server that was built
// - `serve.rs`: `Server::run`, `Server::serve`, `App::serve` and `App::serve_stream`
// - `bind.rs`: listens on an address
// - `accept.rs`: accepts connections, and runs a session or HTTP on each
// - `outage.rs`: logs when no connection can be accepted
// - `http/`: an axum application on the port of the server, and the server as a route of one

mod accept;
mod app;
mod bind;
mod build;
#[cfg(feature = "axum")]
mod http;
mod outage;
mod serve;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use self::app::App;
#[cfg(feature = "axum")]
pub use self::http::WebSocketService;
use crate::error::HandlerError;
#[cfg(feature = "axum")]
pub use crate::extract::json_body::JsonBody;
use crate::handshake::{Origins, Subprotocols};
use crate::hub::{RoomCheck, room_check};
pub use crate::limits::{Limits, RouteLimits};
use crate::middleware::{Layer, Middleware};
use crate::router::{Router, SetOnce};
use crate::shutdown::Owner;
pub use crate::shutdown::{ServerHandle, Shutdown, Stats};
use crate::state::StateMap;
pub use crate::transport::Listener;
use crate::websocket::WebSocket;

/// A WebSocket server: add routers, state and limits, then call [`run`](Self::run).
///
/// ```no_run
/// use aiows::{Error, Router, Server};
///
/// #[tokio::main]
/// async fn main() -> Result<(), Error> {
///     let router = Router::new();
///     Server::new().include_router(router).run("127.0.0.1:8000").await
/// }
/// ```
#[derive(Default)]
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    root: Option<Router>,
    paths: Vec<(String, Router)>,
    layers: Vec<Layer>,
    state: StateMap,
    limits: SetOnce<Limits>,
    origins: SetOnce<Origins>,
    subprotocols: SetOnce<Subprotocols>,
    shutdown_timeout: SetOnce<Duration>,
    room_check: SetOnce<RoomCheck>,
    needs_room: bool,
    owner: Owner,
    #[cfg(feature = "axum")]
    http: SetOnce<axum::Router>,
}

impl Server {
    /// Makes a server without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a router for every path that has no [`route`](Self::route).
    ///
    /// Its connections share the rooms of the namespace `root`, unless you choose another one with
    /// [`Router::namespace`](crate::Router::namespace).
    pub fn include_router(mut self, router: Router) -> Self {
        self.root = Some(self.root.unwrap_or_default().include(router));
        self
    }

    /// Binds a router to a URL path, like `/chat` or `/rooms/{room}`.
    ///
    /// You may write a pattern as readers see it, `/räume/{name}`, or percent-encoded. It matches
    /// requests for its percent-encoded form. `{{` and `}}` stand for braces. The last part of a
    /// path may be `{*rest}`, which also matches slashes. A pattern that no request can match is a
    /// mistake at the build.
    ///
    /// If a server has routes only, it answers any other path with 404.
    ///
    /// Each route has rooms, names and a [`Hub`](crate::Hub) of its own: connections of
    /// `/chat/{room}` and `/game/{room}` that join the room `red` do not reach each other. The name
    /// of the namespace is the path as you write it here, and
    /// [`Hub::namespace`](crate::Hub::namespace) finds it. To put several routes into one
    /// namespace, use [`Router::namespace`](crate::Router::namespace).
    pub fn route(mut self, path: impl Into<String>, router: Router) -> Self {
        self.paths.push((path.into(), router));
        self
    }

    /// Adds a state for all handlers, which extract it as `State<T>`.
    ///
    /// A second state of the same type is a mistake at the build. If a test runs the server of your
    /// program with another state, it calls [`replace_state`](Self::replace_state).
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Replaces the state of this type, for tests.
    ///
    /// If the server has none, this adds it, as [`state`](Self::state) does. A router that has a
    /// state of this type keeps its own, see [`Router::replace_state`].
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

    /// Adds middleware around all handlers, outside of the middleware of the routers.
    ///
    /// The middleware that you add first is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::new(middleware));
        self
    }

    /// Sets the limits of the server: sizes, counts and timeouts.
    ///
    /// A second call is a mistake at the build, as with every setting that a server has once. To
    /// set the limits of one route, use [`Router::limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits.set(limits);
        self
    }

    /// Allows pages of these origins to connect, in place of pages of this host.
    ///
    /// An origin is scheme, host and port: `https://example.com`, `http://localhost:3000`. Scheme
    /// and host are compared without regard to case, and a port that is left out is the default
    /// port of the scheme. Applications made of web pages send origins of other schemes,
    /// `capacitor://localhost` or `file://`; these are compared as text. The origin `null` is
    /// accepted only if you list it. Requests without an `Origin` do not come from a page and are
    /// accepted. Source: RFC 6455 section 10.2.
    ///
    /// List all origins in one call. A second call, or a call of
    /// [`allow_any_origin`](Self::allow_any_origin), is a mistake at the build.
    pub fn allow_origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.origins.set(Origins::Listed(origins.into_iter().map(Into::into).collect()));
        self
    }

    /// Allows any page to connect.
    ///
    /// Use this only if your service relies on neither cookies nor other ambient rights.
    pub fn allow_any_origin(mut self) -> Self {
        self.origins.set(Origins::Any);
        self
    }

    /// Sets the subprotocols that the server speaks, the preferred one first.
    ///
    /// The server selects the first of them that a client offers, and
    /// [`WebSocket::subprotocol`](crate::WebSocket::subprotocol) returns it. If a client offers
    /// none of them, it is accepted without one. Browsers then fail the connection if the page had
    /// listed subprotocols, and other clients may go on. Names are case-sensitive. To set the
    /// subprotocols of one route, use [`Router::subprotocols`].
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
        self.subprotocols.set(Subprotocols::new(names));
        self
    }

    /// Runs `check` before any connection joins a room.
    ///
    /// If the check returns an error, the join fails with that error. A second call is a mistake at
    /// the build.
    ///
    /// For a room of the path ([`Router::join_from_path`]), the check runs before the upgrade and
    /// therefore before any connect handler, so the connection has no user yet. Use the values that
    /// middleware has put into the context:
    ///
    /// ```
    /// use aiows::middleware::{Handshake, Middleware};
    /// use aiows::testing::TestServer;
    /// use aiows::{HandlerError, Result, Router, Server, WebSocket};
    ///
    /// #[derive(Clone)]
    /// struct Member(String);
    ///
    /// struct Login;
    ///
    /// impl Middleware for Login {
    ///     async fn on_handshake(&self, handshake: &Handshake) -> Result<(), HandlerError> {
    ///         if let Some(Ok(name)) = handshake.headers().get("x-member").map(|name| name.to_str()) {
    ///             handshake.context().insert(Member(name.to_owned()));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn members_only(room: String, ws: WebSocket) -> Result {
    ///     match ws.context().get::<Member>() {
    ///         Some(Member(name)) if room.starts_with(&name) => Ok(()),
    ///         _ => Err(HandlerError::new("forbidden", "this is not your room")),
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let router = Router::new().middleware(Login).join_from_path("room");
    /// let server = Server::new().route("/rooms/{room}", router).check_rooms(members_only);
    ///
    /// let server = TestServer::new(server);
    /// assert!(server.try_connect("/rooms/ann-1", &[("x-member", "ann")]).await.is_ok());
    /// let refused = server.try_connect("/rooms/bob-1", &[("x-member", "ann")]).await.unwrap_err();
    /// assert_eq!(refused.status, 403);
    /// # }
    /// ```
    pub fn check_rooms<F, Fut, E>(mut self, check: F) -> Self
    where
        F: Fn(String, WebSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<HandlerError>,
    {
        self.room_check.set(room_check(check));
        self
    }

    /// Makes sending to all connections an error,
    /// [`SendError::NoRoom`](crate::error::SendError::NoRoom).
    ///
    /// Use this if every message of your server belongs to a room.
    pub fn require_room(mut self) -> Self {
        self.needs_room = true;
        self
    }

    /// Sets the time that a stop may take before connections are cut. The default is 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout.set(timeout);
        self
    }

    /// Returns a handle on the server. You may call this before the server runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.owner.handle().clone()
    }
}

impl From<Router> for Server {
    fn from(router: Router) -> Self {
        Self::new().include_router(router)
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
