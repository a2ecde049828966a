//! One handler with its type erased: its key, its needs and the function that runs it.

mod macro_support; // what the attributes and `routes![]` generate calls of
mod outcome; // the values that handlers return
mod run; // runs a handler, and catches its panics
mod running; // logs handlers that are dropped early

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

pub use self::macro_support::{
    Handler, HandlerMeta, Key, assert_unique, boxed, meta, outcome, route, routes,
};
pub use self::outcome::{IntoOutcome, Outcome};
pub(crate) use self::run::{HandlerFuture, Returned, run, until};
pub(crate) use self::running::{Running, warn_of_cut};
use crate::error::HandlerError;
use crate::extract::{Call, FromCall, Needs};
use crate::message::Incoming;

/// The future of one call of a handler or of middleware.
pub type BoxFuture<T = Outcome> = Pin<Box<dyn Future<Output = Result<T, HandlerError>> + Send>>;

pub(crate) type Run = Arc<dyn Fn(Call) -> BoxFuture + Send + Sync>;

/// One handler, and the event it handles.
///
/// The attributes create routes from functions. You can create them yourself for handlers that you
/// build at run time:
///
/// ```
/// use aiows::Router;
/// use aiows::extract::Call;
/// use aiows::routing::Route;
/// use serde_json::json;
///
/// let router = Router::new().route(Route::message("ping", |call: Call| async move {
///     json!({ "type": "pong", "to": call.websocket().id() })
/// }));
/// # let _: Router = router;
/// ```
#[derive(Clone)]
pub struct Route {
    kind: Kind,
    /// The path of the function, or the kind of a closure.
    name: String,
    /// The source file and line.
    location: String,
    needs: Needs,
    run: Run,
}

/// The event that a route handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect(Ended),
    Fallback,
    Message(String),
}

/// Which connections a disconnect handler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Only connections with successful connect handlers.
    Admitted,
    Any,
}

impl Route {
    /// Makes a connect handler, which runs for each new connection.
    #[track_caller]
    pub fn connect<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        Self::of_closure(Kind::Connect, "connect", handler, Location::caller())
    }

    /// Makes a disconnect handler, which runs at the end of each admitted connection.
    ///
    /// A connection is admitted if all its connect handlers have succeeded. The return value is not
    /// sent.
    #[track_caller]
    pub fn disconnect<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let kind = Kind::Disconnect(Ended::Admitted);
        Self::of_closure(kind, "disconnect", handler, Location::caller())
    }

    /// Makes a disconnect handler that also runs for connections that were not admitted.
    ///
    /// For those the reason is [`ConnectFailed`](crate::DisconnectReason::ConnectFailed) if a
    /// connect handler failed, and otherwise the event that ended the connection in the meantime.
    #[track_caller]
    pub fn disconnect_always<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let kind = Kind::Disconnect(Ended::Any);
        Self::of_closure(kind, "disconnect", handler, Location::caller())
    }

    /// Makes the handler of one message type.
    #[track_caller]
    pub fn message<F, Fut>(message_type: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let kind = Kind::Message(message_type.into());
        Self::of_closure(kind, "message", handler, Location::caller())
    }

    /// Makes the handler of every message that has no other handler.
    #[track_caller]
    pub fn fallback<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        Self::of_closure(Kind::Fallback, "fallback", handler, Location::caller())
    }

    /// Declares that the handler uses an extractor of type `T`.
    ///
    /// If the server cannot provide a value for `T`, the build fails. The declaration is also
    /// needed for other reasons. A connection keeps the data for [`Path`](crate::Path),
    /// [`Query`](crate::Query) and [`Headers`](crate::extract::Headers) only if a route needs it. A
    /// fallback receives frames that are not messages only if it needs [`Text`](crate::Text) or
    /// [`Bytes`](crate::Bytes).
    #[must_use]
    pub fn needing<T: FromCall>(mut self) -> Self {
        T::needs(&mut self.needs);
        self
    }

    /// Declares that the handler calls [`Call::payload`] with the message `T`.
    ///
    /// If `T` declares another message type than the route, the build fails.
    #[must_use]
    pub fn receiving<T: Incoming>(mut self) -> Self {
        self.needs.payload::<T>();
        self
    }

    fn of_closure<F, Fut>(kind: Kind, name: &str, handler: F, location: &Location<'_>) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let run = move |call: Call| -> BoxFuture {
            let future = handler(call.clone());
            Box::pin(async move { future.await.into_outcome(&call) })
        };
        Self {
            kind,
            name: format!("{name} closure"),
            location: location.to_string(),
            needs: Needs::default(),
            run: Arc::new(run),
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Prepends a prefix to the message type.
    pub(crate) fn nest(&mut self, prefix: &str) {
        if let Kind::Message(message_type) = &mut self.kind {
            message_type.insert_str(0, prefix);
        }
    }

    /// Returns the handler's name and source location, for build errors and the log.
    pub(crate) fn title(&self) -> String {
        format!("`{}` ({})", self.name, self.location)
    }

    /// Returns whether both handlers are in the same module, or in the same file if one of them was
    /// built at run time and so has no module.
    pub(crate) fn is_in_same_module(&self, other: &Self) -> bool {
        match (self.module(), other.module()) {
            (Some(one), Some(other)) => one == other,
            _ => self.file() == other.file(),
        }
    }

    fn module(&self) -> Option<&str> {
        self.name.rsplit_once("::").map(|(module, _)| module)
    }

    fn file(&self) -> &str {
        self.location.split_once(".rs:").map_or(&*self.location, |(file, _)| file)
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    pub(crate) fn run(&self) -> &Run {
        &self.run
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("kind", &self.kind).field("name", &self.name).finish()
    }
}

/// The handlers of one `routes![]` list.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub(crate) routes: Vec<Route>,
}

impl FromIterator<Route> for Routes {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        Self { routes: routes.into_iter().collect() }
    }
}
