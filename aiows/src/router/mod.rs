//! Collects handlers, checks them, and freezes them into what a session dispatches from.

mod asked;
mod build;
mod frozen;
mod group;
mod lent;
mod scope;
mod values;

use std::fmt;
use std::future::Future;

pub(crate) use self::build::{build, check_state};
pub(crate) use self::frozen::{Endpoint, Frozen, Target};
use crate::call::Call;
use crate::middleware::{Layer, Middleware};
use crate::outcome::IntoOutcome;
use crate::route::{Route, Routes};
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
