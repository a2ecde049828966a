//! What runs around handlers: [`Middleware`], [`Next`] and [`from_fn`].

mod default;
mod error_hooks;
mod from_fn;
mod handshake;
mod layer;

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
use crate::handler::Outcome;
use crate::handler::{Run, isolated};

/// Code that runs around the handlers of a server or of a router.
///
/// It is given with `Server::middleware` or `Router::middleware`. The server's runs first, then that
/// of the routers from the outside in, then the handler; what comes after `next.run(call).await` runs
/// in the opposite order. Middleware of a router sees the handlers of that router and of those it
/// includes, and no others.
///
/// Every method has a default, and a method that is not overridden costs nothing: it is left out
/// when the server is built. A method that you override always runs, also one that checks something
/// and then returns the future of another middleware. Methods are written as `async fn`. A panic in one is an error of that
/// call, as it is in a handler.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aiows::{Call, Middleware, Next, Outcome, Result, Router};
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
    /// The request has passed every check of the server's own, its `Origin` included. An error is
    /// answered with the [status](HandlerError::status) it says and a JSON body with its code, message
    /// and parameters; a [delay](HandlerError::retry_after) becomes `Retry-After`, and a 401 asks for
    /// `Bearer`. Then nothing else of the connection is seen, by `on_error` and `on_disconnect`
    /// neither. Values put into the [context](Handshake::context) are those the connection begins with.
    ///
    /// Middleware of every router that is served under the path is asked, from the outside in and in
    /// order of inclusion; the first refusal counts. All of it has the time of
    /// [`Limits::handshake_timeout`](crate::Limits::handshake_timeout), and holds a place of
    /// [`Limits::connections`](crate::Limits::connections). When the server is to stop it is dropped.
    ///
    /// ```
    /// use aiows::{Context, HandlerError, Handshake, Middleware, Result, Router, connect, routes};
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

    /// Runs once per connection, around the connect handlers, also when there are none.
    ///
    /// What the handlers return is sent as it is returned, so the outcome of `next` is empty; an
    /// outcome of the middleware's own is sent after it. The connection stays open only when every
    /// handler succeeded and this returns `Ok`: one that does not call `next` closes it with 1008,
    /// and an error closes it as that of a connect handler does. Handlers that have not finished when
    /// this returns, because you spawned `next`, are dropped.
    fn on_connect(&self, call: Call, next: Next) -> impl Future<Output = Result<Outcome>> + Send {
        PassThrough::<Self, OnConnect>::new(call, next)
    }

    /// Runs around the handler of each message, `#[fallback]` included.
    ///
    /// It may pass on a changed call ([`Call::with_text`]), change or replace the outcome, or
    /// answer without calling `next`; a request with an `id` is acknowledged if the outcome is
    /// empty. Messages that have no handler, and texts without a type, are refused before it.
    /// What is broken behind the type is found when the handler decodes it; it is told to the peer
    /// also in place of an answer of the middleware's own.
    fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Result<Outcome>> + Send {
        PassThrough::<Self, OnMessage>::new(call, next)
    }

    /// Runs once per connection, around the disconnect handlers, also when there are none.
    ///
    /// The handlers run exactly once, whatever the middleware does with `next`. If it returns before
    /// they have finished, because it drops, spawns or does not call `next`, the framework runs them to
    /// their end. Nothing can be sent any more; an error is logged. Each handler has the time of
    /// [`Limits::disconnect_timeout`](crate::Limits::disconnect_timeout), and so has this, not counting
    /// theirs: middleware that hangs is dropped, and handlers that have not run do.
    fn on_disconnect(
        &self,
        call: Call,
        next: Next,
    ) -> impl Future<Output = Result<Outcome>> + Send {
        PassThrough::<Self, OnDisconnect>::new(call, next)
    }

    /// Sees every failure, and returns it or another one in its place.
    ///
    /// It runs when everything around the handler is over, the innermost middleware first. Failures
    /// that belong to no handler, like `unknown_type` and `invalid_json`, are seen by the middleware
    /// all handlers of the connection have in common. The log has the original cause of an internal
    /// error that is replaced. The client does not receive what it returns for the error of a
    /// disconnect handler.
    fn on_error(
        &self,
        call: &Call,
        error: HandlerError,
    ) -> impl Future<Output = HandlerError> + Send {
        let _ = call;
        Unchanged::<Self>::new(error)
    }
}

/// What is left of a call: the inner middleware and the handler.
pub struct Next {
    run: Run,
    /// How many middleware stand in `run`.
    inner: usize,
}

impl Next {
    #[cfg(feature = "test-util")]
    pub(crate) fn to(run: Run) -> Self {
        Self { run, inner: 0 }
    }

    /// Continues with the next middleware, or with the handler.
    ///
    /// # Errors
    ///
    /// What the handler or an inner middleware failed with, a panic included.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the handler where it stands.
    pub async fn run(self, call: Call) -> Result<Outcome> {
        isolated(Some(call.websocket().id()), || (self.run)(call)).await
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("middleware", &self.inner).finish()
    }
}

/// Puts middleware around a handler; without middleware it stays what it is.
///
/// A panic of the outermost is left to the caller, as that of a handler is.
pub(crate) fn wrap(hooks: &[MiddlewareFn], run: Run) -> Run {
    hooks.iter().rev().enumerate().fold(run, |run, (inner, hook)| {
        let hook = Arc::clone(hook);
        Arc::new(move |call| hook(call, Next { run: Arc::clone(&run), inner }))
    })
}
