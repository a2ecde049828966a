//! Collects handlers, checks them, and freezes them into what a session dispatches from.

mod build;
mod compiled;
mod connection_rules;
mod handler_group;
mod middleware_clock;
mod namespace;
mod reclaim;
mod request_needs;
mod scope;
mod set_once;
mod shared_types;

use std::fmt;
use std::future::Future;

pub(crate) use self::build::{build, check_state};
pub(crate) use self::compiled::{CompiledHandler, CompiledRouter, RouteMatch};
pub(crate) use self::namespace::namespace;
pub(crate) use self::set_once::Once;
use crate::extract::Call;
use crate::handler::IntoOutcome;
use crate::handler::{Route, Routes};
use crate::handshake::Subprotocols;
use crate::limits::RouteLimits;
use crate::middleware::{Layer, Middleware};
use crate::state::StateMap;

/// A set of handlers with the state they share.
///
/// A router is built up by value and never fails: mistakes are found all together when the server
/// is built.
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
    /// Put before the message types, by the router that nests this one.
    prefix: String,
    layers: Vec<Layer>,
    state: StateMap,
    /// What every call of `tag` says, so that none replaces another in silence.
    tags: Vec<String>,
    /// The parameters of the path that name a room to join, likewise.
    rooms: Vec<String>,
    /// What every call of `namespace` says.
    namespaces: Vec<String>,
    limits: Once<RouteLimits>,
    subprotocols: Once<Subprotocols>,
}

impl Router {
    /// Makes an empty router.
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

    /// Adds the handler of every message no other handler serves; see [`Route::fallback`]. In a router
    /// that is nested, it serves the messages with the prefix of the [`nest`](Self::nest).
    ///
    /// A function is made a fallback with `#[fallback]` and listed in `routes![]`.
    #[track_caller]
    pub fn fallback<F, Fut>(self, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        self.route(Route::fallback(handler))
    }

    /// Adds the handlers of another router, which keep that router's state.
    pub fn include(mut self, other: Self) -> Self {
        self.included.push(other);
        self
    }

    /// Adds the handlers of another router under message types that begin with `prefix`.
    ///
    /// Handlers keep the names they have: `#[message("move")]` nested under `game.` serves `game.move`.
    /// A message that declares its type declares the whole, `#[aiows(type = "game.move")]`. A fallback
    /// handler gets the messages whose type begins with the prefix and has no handler, so each prefix
    /// may have one; if prefixes overlap, the longest counts. In all else it is
    /// [`include`](Self::include): connect and disconnect handlers serve the whole connection.
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

    /// Adds middleware around the handlers of this router and of those it includes.
    ///
    /// The first that is added is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::new(middleware));
        self
    }

    /// Puts middleware around everything the router has.
    pub(crate) fn inside(mut self, outer: &[Layer]) -> Self {
        self.layers.splice(..0, outer.iter().cloned());
        self
    }

    /// Gives the handlers of this router a state, in place of the server's of the same type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Gives the handlers of this router a state in place of the one of its type that they have; see
    /// [`Server::replace_state`](crate::Server::replace_state).
    pub fn replace_state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.replace(state);
        self
    }

    /// Names the key that carries the message type: `type` unless this says otherwise.
    ///
    /// It holds for every message of the connection, received and sent, so included routers cannot
    /// have another one.
    pub fn tag(mut self, key: impl Into<String>) -> Self {
        self.tags.push(key.into());
        self
    }

    /// Names the namespace whose rooms, names and `all` the connections of this router share.
    ///
    /// Without a name each [`Server::route`](crate::Server::route) has a namespace of its own, so two
    /// routes never share a room by chance. Routers that say the same name share everything:
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
    /// let server = TestServer::new(Server::new().route("/play", router()).route("/watch", router()));
    /// let (_player, _guest) = (server.connect_to("/play").await, server.connect_to("/watch").await);
    /// # while server.handle().hub().size() < 2 { tokio::task::yield_now().await; }
    /// let hub = server.handle().hub().namespace("play").unwrap();
    /// assert_eq!(hub.room_size("table-1"), 2);
    /// # }
    /// ```
    ///
    /// A connection is in one namespace. You name it on the router that you bind to a path or give to
    /// [`Server::include_router`](crate::Server::include_router); if a router inside of it names another one,
    /// the build fails. It fails as well for names that the server gives, `root` and everything that
    /// begins with `/`, and for a name that is empty or has white space or a control character.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespaces.push(name.into());
        self
    }

    /// The routers that were put into this one.
    pub(crate) fn included(&self) -> &[Self] {
        &self.included
    }

    /// Sets what is accepted from the connections of this route and how long it takes, in place of what
    /// the server says.
    ///
    /// It holds for whole connections, so the router has to be the one that is given to
    /// [`Server::route`](crate::Server::route), or the only one that is given to
    /// [`Server::include_router`](crate::Server::include_router): on a router that is included or nested it
    /// is a mistake at the build, and so is a second call.
    ///
    /// ```
    /// use aiows::{RouteLimits, Router, Server};
    ///
    /// let mut limits = RouteLimits::default();
    /// limits.message_size = Some(8 * 1024 * 1024);
    /// let server = Server::new()
    ///     .route("/chat", Router::new())
    ///     .route("/uploads", Router::new().limits(limits));
    /// # assert!(server.build().is_ok());
    /// ```
    pub fn limits(mut self, limits: RouteLimits) -> Self {
        self.limits.give(limits);
        self
    }

    /// Names the subprotocols of this route, the preferred first, in place of those of the server.
    ///
    /// An empty list is none: nothing is agreed on, whatever the server speaks elsewhere. It may be called
    /// where [`limits`](Self::limits) may, and once. Else it is
    /// [`Server::subprotocols`](crate::Server::subprotocols).
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
        self.subprotocols.give(Subprotocols::new(names));
        self
    }

    /// Lets every connection join the room that a parameter of its path names, once its connect handlers
    /// have succeeded.
    ///
    /// Whom `Server::check_rooms` does not let in is refused before the upgrade, with 403 unless the
    /// error says another status. The router has to be bound to a path with that parameter.
    ///
    /// ```
    /// use aiows::{Router, Server, Text, WebSocket, fallback, routes};
    ///
    /// #[fallback]
    /// async fn say(ws: WebSocket, Text(text): Text) {
    ///     println!("{} says in {:?}: {text}", ws.id(), ws.rooms());
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
