//! Routers: how handlers are registered, checked, and compiled for the sessions of a server.
//!
//! A [`Router`] collects routes, middleware and settings. `build` turns it into a `CompiledRouter`,
//! reports every mistake, and puts connect and disconnect handlers into groups with their
//! middleware.

mod build; // compiles a router with all it includes
mod check_route; // checks one route at the build
mod compiled; // the result: handlers ready for dispatch
mod connection_rules; // limits and subprotocols of a router
mod handler_group; // connect or disconnect handlers inside their middleware
mod middleware_clock; // the time of middleware without that of its handlers
mod namespace; // the choice of a namespace
mod reclaim; // handlers that run inside middleware and can be taken back
mod request_needs; // the parts of the upgrade request that handlers use
mod resolve; // finds the handler of a message
mod scope; // the state and middleware of one router
mod set_once; // settings that may be set once
mod shared_types; // connection values that two modules would share by accident

use std::fmt;
use std::future::Future;

pub(crate) use self::build::{build, check_state};
pub(crate) use self::compiled::{CompiledHandler, CompiledRouter, Report};
pub(crate) use self::namespace::namespace;
pub(crate) use self::resolve::{RouteMatch, Unrouted};
pub(crate) use self::set_once::SetOnce;
use crate::extract::Call;
use crate::handler::{IntoOutcome, Route, Routes};
use crate::handshake::Subprotocols;
use crate::limits::RouteLimits;
use crate::middleware::{Layer, Middleware};
use crate::state::StateMap;

/// A set of handlers with the middleware and the state they share.
///
/// You build a router by chaining its methods. None of them fails:
/// [`Server::build`](crate::Server::build) reports all mistakes together.
///
/// ```
/// use aiows::{Message, Router, message, routes};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Deserialize, Serialize)]
/// struct Note {
///     text: String,
/// }
///
/// #[message("note")]
/// async fn note(note: Note) -> Note {
///     note
/// }
///
/// let router = Router::new().routes(routes![note]);
/// # let _: Router = router;
/// ```
#[derive(Clone, Default)]
#[must_use = "a router does nothing until a server includes it"]
pub struct Router {
    routes: Vec<Route>,
    included: Vec<Self>,
    /// Prepended to the message types; set by the router that nests this one.
    prefix: String,
    layers: Vec<Layer>,
    state: StateMap,
    /// The argument of every call of `tag`, so that the build can report contradictions.
    tags: Vec<String>,
    /// The argument of every call of `join_from_path`, for the same reason.
    rooms: Vec<String>,
    /// The argument of every call of `namespace`, for the same reason.
    namespaces: Vec<String>,
    limits: SetOnce<RouteLimits>,
    subprotocols: SetOnce<Subprotocols>,
}

impl Router {
    /// Creates an empty router.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the handlers of a `routes![]` list.
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes.extend(routes.routes);
        self
    }

    /// Adds one handler.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds the handler of every message that has no other handler; see [`Route::fallback`].
    ///
    /// In a nested router, it only handles messages with the prefix of the [`nest`](Self::nest). To
    /// use a function as a fallback, annotate it with `#[fallback]` and list it in `routes![]`
    /// instead.
    #[track_caller]
    pub fn fallback<F, Fut>(self, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        self.route(Route::fallback(handler))
    }

    /// Adds the handlers of another router. They keep the state of that router.
    pub fn include(mut self, other: Self) -> Self {
        self.included.push(other);
        self
    }

    /// Adds the handlers of another router, and prepends `prefix` to their message types.
    ///
    /// For example, `#[message("move")]` nested under `game.` handles `game.move`. If a message
    /// declares its own type, write the full type: `#[aiows(type = "game.move")]`. A fallback
    /// handler of the nested router handles messages with this prefix that have no other handler.
    /// Each prefix can have one; if several prefixes match, the longest wins. Apart from that,
    /// `nest` works like [`include`](Self::include): connect and disconnect handlers handle the
    /// whole connection.
    ///
    /// ```
    /// use aiows::{Message, Router, message, routes};
    /// use serde::Deserialize;
    ///
    /// #[derive(Message, Deserialize)]
    /// #[aiows(type = "game.move")]
    /// struct Move {
    ///     to: String,
    /// }
    ///
    /// #[message("move")]
    /// async fn play(step: Move) {
    ///     println!("to {}", step.to);
    /// }
    ///
    /// let game = Router::new().routes(routes![play]);
    /// let router = Router::new().nest("game.", game);
    /// # assert!(aiows::Server::new().include_router(router).build().is_ok());
    /// ```
    pub fn nest(self, prefix: impl Into<String>, mut other: Self) -> Self {
        other.prefix = prefix.into();
        self.include(other)
    }

    /// Adds middleware around the handlers of this router and of the routers it includes.
    ///
    /// If you add several, the first one is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::new(middleware));
        self
    }

    /// Adds middleware around all existing middleware and handlers of the router.
    pub(crate) fn inside(mut self, outer: &[Layer]) -> Self {
        self.layers.splice(..0, outer.iter().cloned());
        self
    }

    /// Adds state for the handlers of this router.
    ///
    /// If the server has state of the same type, these handlers get the router's state.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Replaces the state of type `T` that the handlers of this router have; see
    /// [`Server::replace_state`](crate::Server::replace_state).
    pub fn replace_state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.replace(state);
        self
    }

    /// Sets the key that carries the message type. The default is `type`.
    ///
    /// The key applies to every message of a connection in both directions, so included routers
    /// cannot set a different one.
    pub fn tag(mut self, key: impl Into<String>) -> Self {
        self.tags.push(key.into());
        self
    }

    /// Sets the namespace of this router's connections.
    ///
    /// The connections in a namespace share their rooms, their names and `Hub::all`. By default,
    /// each [`Server::route`](crate::Server::route) has its own namespace, so two routes never
    /// share a room by accident. If you give several routers the same name, they share a namespace:
    ///
    /// ```
    /// use aiows::testing::TestServer;
    /// use aiows::{Router, Server, WebSocket, connect, routes};
    ///
    /// #[connect]
    /// async fn enter(ws: WebSocket) -> aiows::Result {
    ///     ws.join("table-1").await?;
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let router = || Router::new().routes(routes![enter]).namespace("play");
    /// let server = Server::new().route("/play", router()).route("/watch", router());
    /// let server = TestServer::new(server);
    /// let _player = server.connect_to("/play").await;
    /// let _guest = server.connect_to("/watch").await;
    /// # while server.handle().hub().size() < 2 { tokio::task::yield_now().await; }
    /// let hub = server.handle().hub().namespace("play").unwrap();
    /// assert_eq!(hub.room_size("table-1"), 2);
    /// # }
    /// ```
    ///
    /// A connection belongs to one namespace. Set it on the router that you bind to a path or pass
    /// to [`Server::include_router`](crate::Server::include_router). The build fails if:
    ///
    /// - an included router sets a different namespace,
    /// - the name is `root` or begins with `/`, since the server gives these names to routers
    ///   without one,
    /// - the name is empty or contains white space or a control character.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespaces.push(name.into());
        self
    }

    /// Returns the included routers.
    pub(crate) fn included(&self) -> &[Self] {
        &self.included
    }

    /// Sets limits for the connections of this route, which override those of the server.
    ///
    /// Limits apply to whole connections. You can set them once, on the router that you pass to
    /// [`Server::route`](crate::Server::route), or on the only router that you pass to
    /// [`Server::include_router`](crate::Server::include_router). If you set them on an included or
    /// nested router, or twice, the build fails.
    ///
    /// ```
    /// use aiows::server::RouteLimits;
    /// use aiows::{Router, Server};
    ///
    /// let mut limits = RouteLimits::default();
    /// limits.message_size = Some(8 * 1024 * 1024);
    /// let server = Server::new()
    ///     .route("/chat", Router::new())
    ///     .route("/uploads", Router::new().limits(limits));
    /// # assert!(server.build().is_ok());
    /// ```
    pub fn limits(mut self, limits: RouteLimits) -> Self {
        self.limits.set(limits);
        self
    }

    /// Sets the subprotocols of this route in order of preference, in place of those of the server.
    ///
    /// If the list is empty, no subprotocol is negotiated, even if the server has some. The same
    /// rules as for [`limits`](Self::limits) apply: set them once, on the outermost router. For the
    /// negotiation, see [`Server::subprotocols`](crate::Server::subprotocols).
    ///
    /// ```
    /// use aiows::{Bytes, Router, Server, Text, fallback, routes};
    ///
    /// #[fallback]
    /// async fn packet(packet: Bytes) {
    ///     println!("{} bytes of MQTT", packet.len());
    /// }
    ///
    /// #[fallback]
    /// async fn call(Text(call): Text) {
    ///     println!("OCPP: {call}");
    /// }
    ///
    /// let mqtt = Router::new().routes(routes![packet]).subprotocols(["mqtt"]);
    /// let ocpp = Router::new().routes(routes![call]).subprotocols(["ocpp2.0.1", "ocpp1.6"]);
    /// let server = Server::new().route("/mqtt", mqtt).route("/ocpp/{station}", ocpp);
    /// # assert!(server.build().is_ok());
    /// ```
    pub fn subprotocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.subprotocols.set(Subprotocols::new(names));
        self
    }

    /// Makes every connection join the room that a path parameter names, after its connect handlers
    /// have succeeded.
    ///
    /// If `Server::check_rooms` refuses the room, the client gets 403 before the upgrade, or the
    /// status of the error. You must bind the router to a path with that parameter.
    ///
    /// ```
    /// use aiows::{Router, Server, Text, WebSocket, fallback, routes};
    ///
    /// #[fallback]
    /// async fn say(ws: WebSocket, Text(text): Text) {
    ///     println!("{} in {:?}: {text}", ws.id(), ws.rooms());
    /// }
    ///
    /// let rooms = Router::new().routes(routes![say]).join_from_path("room");
    /// let server = Server::new().route("/rooms/{room}", rooms);
    /// # assert!(server.build().is_ok());
    /// ```
    pub fn join_from_path(mut self, parameter: impl Into<String>) -> Self {
        self.rooms.push(parameter.into());
        self
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("routes", &self.routes)
            .field("included", &self.included)
            .field("prefix", &self.prefix)
            .field("state", &self.state)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
