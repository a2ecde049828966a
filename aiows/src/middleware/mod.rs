//! Code that runs around handlers: [`Middleware`], [`Next`] and [`from_fn`](from_fn()).
//!
//! You implement [`Middleware`] for a type, or wrap a closure with [`from_fn`](from_fn()), and add
//! it to a server or a router. It can refuse a connection during the handshake, and it sees every
//! call of a handler and every error.

mod default; // the default methods of `Middleware`
mod error_hooks; // `on_error` of all middleware around a handler
mod from_fn; // middleware made of a closure
mod handshake; // `on_handshake`, before the upgrade
mod layer; // middleware with its type erased

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use self::default::{Allowed, OnConnect, OnDisconnect, OnMessage, PassThrough, Unchanged};
pub(crate) use self::error_hooks::ErrorHooks;
pub use self::from_fn::{FromFn, from_fn};
pub use self::handshake::Handshake;
pub(crate) use self::handshake::{HandshakeHooks, HandshakeRequest};
pub(crate) use self::layer::{Layer, MiddlewareFn};
use crate::error::{HandlerError, Result};
use crate::extract::Call;
use crate::handler::{self, Outcome, Run};

/// Code that runs around the handlers of a server or of a router.
///
/// You add it with `Server::middleware` or `Router::middleware`. Middleware of the server is the
/// outermost, followed by that of the routers from the outside in. Code after
/// `next.run(call).await` runs in the opposite order. Middleware of a router only sees the handlers
/// of that router and of the routers it includes.
///
/// You write the methods as `async fn`. Each has a default, and a method you do not override costs
/// no time at all: it is left out when the server is built. A method you override always runs, even
/// if it only checks something and then returns the future of another middleware. If a method
/// panics, the call fails with an internal error, as it does when a handler panics.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aiows::extract::Call;
/// use aiows::middleware::{Middleware, Next};
/// use aiows::routing::Outcome;
/// use aiows::{Result, Router};
///
/// struct Slow(Duration);
///
/// impl Middleware for Slow {
///     async fn on_message(&self, call: Call, next: Next) -> Result<Outcome> {
///         let started = Instant::now();
///         let outcome = next.run(call.clone()).await;
///         if started.elapsed() > self.0 {
///             println!("{:?} took {:?}", call.message_type(), started.elapsed());
///         }
///         outcome
///     }
/// }
///
/// let router = Router::new().middleware(Slow(Duration::from_millis(100)));
/// # let _: Router = router;
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Runs before the connection is accepted, and may refuse it.
    ///
    /// The request has already passed the server's own checks, including the one of its `Origin`.
    /// If you return an error, the client gets its [status](HandlerError::status) with a JSON body
    /// that has the code, the message and the parameters. A [delay](HandlerError::retry_after)
    /// becomes `Retry-After`, and a 401 names the scheme `Bearer`. A refused connection runs no
    /// further code of yours: neither `on_error` nor `on_disconnect` is called. Values you insert
    /// into the [context](Handshake::context) are available from the start of the connection.
    ///
    /// The middleware of every router under the path runs, from the outside in and in order of
    /// inclusion, until one refuses. Together they must finish within
    /// [`Limits::handshake_timeout`](crate::Limits::handshake_timeout). Meanwhile the connection
    /// counts towards [`Limits::connections`](crate::Limits::connections). If the server begins to
    /// stop, the handshake is dropped.
    ///
    /// ```
    /// use aiows::middleware::{Handshake, Middleware};
    /// use aiows::{Context, HandlerError, Result, Router, connect, routes};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Ticket {
    ///     ticket: String,
    /// }
    ///
    /// #[derive(Clone)]
    /// struct Guest(String);
    ///
    /// struct Tickets;
    ///
    /// impl Middleware for Tickets {
    ///     async fn on_handshake(&self, handshake: &Handshake) -> Result {
    ///         let Ticket { ticket } = handshake.query()?;
    ///         let Some(name) = ticket.strip_prefix("ticket-of-") else {
    ///             return Err(HandlerError::new("no_ticket", "buy a ticket first").status(401));
    ///         };
    ///         handshake.context().insert(Guest(name.to_owned()));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// #[connect]
    /// async fn welcome(Context(Guest(name)): Context<Guest>) {
    ///     println!("welcome, {name}");
    /// }
    ///
    /// let router = Router::new().routes(routes![welcome]).middleware(Tickets);
    /// # let _: Router = router;
    /// ```
    fn on_handshake(&self, handshake: &Handshake) -> impl Future<Output = Result> + Send {
        let _ = handshake;
        Allowed::<Self>::new()
    }

    /// Runs once per connection, around the connect handlers, even if there are none.
    ///
    /// The handlers' own outcomes are sent as they return, so the outcome of `next` is empty. If
    /// this method returns an outcome, it is sent after them. The connection stays open only if
    /// every handler succeeded and this method returns `Ok`. If you do not call `next`, the
    /// connection is closed with 1008. If you return an error, it is closed as after the error of a
    /// connect handler. If handlers are still running when this method returns, because you spawned
    /// `next`, they are dropped.
    fn on_connect(&self, call: Call, next: Next) -> impl Future<Output = Result<Outcome>> + Send {
        PassThrough::<Self, OnConnect>::new(call, next)
    }

    /// Runs around the handler of each message, including `#[fallback]`.
    ///
    /// You can pass on a changed call ([`Call::with_text`]), replace the outcome, or answer without
    /// calling `next`. If the outcome is empty, a request with an `id` is still acknowledged. The
    /// framework refuses messages without a handler, and texts without a type, before this method
    /// runs. An error after the message type is detected only when the handler decodes the payload.
    /// The client then receives that error, even if you return an answer of your own.
    fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Result<Outcome>> + Send {
        PassThrough::<Self, OnMessage>::new(call, next)
    }

    /// Runs once per connection, around the disconnect handlers, even if there are none.
    ///
    /// The handlers run exactly once, however you use `next`. If you return before they have
    /// finished, because you drop, spawn or do not call `next`, the framework runs them to the end.
    /// At this point no message can be sent any more, and an error is only logged.
    ///
    /// Each handler may take up to
    /// [`Limits::disconnect_timeout`](crate::Limits::disconnect_timeout). The same limit applies to
    /// this method, not counting the time of the handlers. If it is exceeded, the middleware is
    /// dropped and the remaining handlers still run.
    fn on_disconnect(
        &self,
        call: Call,
        next: Next,
    ) -> impl Future<Output = Result<Outcome>> + Send {
        PassThrough::<Self, OnDisconnect>::new(call, next)
    }

    /// Receives every error, and returns it or another error in its place.
    ///
    /// It runs after all code around the handler has finished, from the innermost middleware to the
    /// outermost. If an error belongs to no handler, such as `unknown_type` or `invalid_json`, it
    /// passes only through the middleware that all handlers of the connection share. If you replace
    /// an internal error, the log still has the original cause. For the error of a disconnect
    /// handler, the returned error is not sent to the client.
    fn on_error(
        &self,
        call: &Call,
        error: HandlerError,
    ) -> impl Future<Output = HandlerError> + Send {
        let _ = call;
        Unchanged::<Self>::new(error)
    }
}

/// The rest of a call: the inner middleware and the handler.
///
/// You get it as an argument of a [`Middleware`] method, and continue the call with
/// [`run`](Self::run).
pub struct Next {
    run: Run,
    /// The number of middleware in `run`.
    inner: usize,
}

impl Next {
    #[cfg(feature = "test-util")]
    pub(crate) fn to(run: Run) -> Self {
        Self { run, inner: 0 }
    }

    /// Runs the next middleware, or the handler.
    ///
    /// # Errors
    ///
    /// Returns the error of an inner middleware or of the handler. A panic becomes an internal
    /// error.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future, the handler is dropped where it stands.
    pub async fn run(self, call: Call) -> Result<Outcome> {
        handler::run(&self.run, call).await
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("middleware", &self.inner).finish()
    }
}

/// Wraps a handler in middleware. Without middleware the handler stays as it is.
///
/// The caller has to catch a panic of the outermost middleware, as it does for a handler.
pub(crate) fn wrap(hooks: &[MiddlewareFn], run: Run) -> Run {
    hooks.iter().rev().enumerate().fold(run, |run, (inner, hook)| {
        let hook = Arc::clone(hook);
        Arc::new(move |call| hook(call, Next { run: Arc::clone(&run), inner }))
    })
}
