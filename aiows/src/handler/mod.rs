//! One handler, erased: its key, what it needs, how it is run.

mod macro_support;
mod outcome;
mod panic;
mod running;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

pub use self::macro_support::{
    Handler, HandlerMeta, Key, assert_unique, boxed, meta, outcome, route, routes,
};
pub use self::outcome::{IntoOutcome, Outcome};
pub(crate) use self::panic::{Returned, drop_caught, isolated, poll_caught, start};
pub(crate) use self::running::{Running, warn_of_cut};
use crate::error::HandlerError;
use crate::extract::Call;
use crate::extract::{FromCall, Needs};
use crate::message::Incoming;

/// The future of one handler call.
pub type BoxFuture = Pin<Box<dyn Future<Output = Result<Outcome, HandlerError>> + Send>>;

pub(crate) type Run = Arc<dyn Fn(Call) -> BoxFuture + Send + Sync>;

/// One handler and what it serves.
///
/// The attributes make routes out of functions. This is what they make them with, for handlers
/// that are built at run time:
///
/// ```
/// use aiows::{Call, Result, Route, Router};
/// use serde_json::json;
///
/// let router = Router::new().route(Route::message("ping", |call: Call| async move {
///     json!({ "type": "pong", "to": call.websocket().id() })
/// }));
/// # let _: Router = router;
/// ```
#[derive(Clone)]
pub struct Route {
    key: Kind,
    name: String,
    location: String,
    needs: Needs,
    run: Run,
}

/// What a route serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect(Ended),
    Fallback,
    Message(String),
}

/// Whose end a disconnect handler serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Connections whose connect handlers have all succeeded.
    Admitted,
    Any,
}

impl Route {
    /// Serves new connections.
    #[track_caller]
    pub fn connect<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        Self::of_closure(Kind::Connect, "connect", handler, Location::caller())
    }

    /// Serves the end of connections that were admitted: all their connect handlers have succeeded. What
    /// it returns is sent to nobody.
    #[track_caller]
    pub fn disconnect<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let key = Kind::Disconnect(Ended::Admitted);
        Self::of_closure(key, "disconnect", handler, Location::caller())
    }

    /// Serves the end of all connections, also of those that were not admitted:
    /// [`ConnectFailed`](crate::DisconnectReason::ConnectFailed) if a connect handler failed, else what
    /// ended them meanwhile.
    #[track_caller]
    pub fn disconnect_always<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let key = Kind::Disconnect(Ended::Any);
        Self::of_closure(key, "disconnect", handler, Location::caller())
    }

    /// Serves one message type.
    #[track_caller]
    pub fn message<F, Fut>(message_type: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        let key = Kind::Message(message_type.into());
        Self::of_closure(key, "message", handler, Location::caller())
    }

    /// Serves every message no other route serves.
    #[track_caller]
    pub fn fallback<F, Fut>(handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        Self::of_closure(Kind::Fallback, "fallback", handler, Location::caller())
    }

    /// Adds what an extractor of type `T` needs, so that its absence is noticed at the build.
    ///
    /// Of [`Path`](crate::Path), [`Query`](crate::Query) and [`Headers`](crate::Headers) a connection
    /// keeps only what its routes say they need; a fallback that needs [`Text`](crate::Text) or
    /// [`Bytes`](crate::Bytes) gets frames that are no messages.
    #[must_use]
    pub fn needing<T: FromCall>(mut self) -> Self {
        T::needs(&mut self.needs);
        self
    }

    /// Says that [`Call::payload`] is asked for a `T`, so that a message type is noticed at the build
    /// that contradicts the one `T` declares.
    #[must_use]
    pub fn receiving<T: Incoming>(mut self) -> Self {
        self.needs.payload::<T>();
        self
    }

    fn of_closure<F, Fut>(key: Kind, name: &str, handler: F, location: &Location<'_>) -> Self
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
            key,
            name: format!("{name} closure"),
            location: location.to_string(),
            needs: Needs::default(),
            run: Arc::new(run),
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.key
    }

    /// Puts a prefix before the message type.
    pub(crate) fn nest(&mut self, prefix: &str) {
        if let Kind::Message(message_type) = &mut self.key {
            message_type.insert_str(0, prefix);
        }
    }

    /// The handler's name and where it stands, for errors at the build and for the log.
    pub(crate) fn title(&self) -> String {
        format!("`{}` ({})", self.name, self.location)
    }

    /// Whether it was written where another one was: in the same module, or in the same file if one of
    /// them is made at run time and has no module.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
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
        f.debug_struct("Route").field("key", &self.key).field("name", &self.name).finish()
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
