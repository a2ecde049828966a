//! Extractors: the types that a handler can take as its arguments.
//!
//! A handler is an `async fn` that you annotate with an attribute. Each of its arguments implements
//! [`FromCall`], and the last argument of a `#[message]` handler can be the message itself.
//! [`Needs`] collects at the build which arguments the handlers of a server take, so that a mistake
//! is reported before the server listens.

pub(crate) mod argument; // one argument, as the attributes expand it
mod builtin; // extractors for the types of other modules, and `State`, `Context`, `Text`
mod call; // one call of a handler
mod extension; // values that layers of a host application add to the request
mod frame; // a message in its kind of frame
#[cfg(feature = "axum")]
pub(crate) mod json_body; // the body of an HTTP request
mod local; // exclusive access to a value of the connection
mod needs; // the requirements of extractors
mod params; // reads a path or a query into a type
mod received; // a message on its way to a handler
mod request; // extractors that read the upgrade request
pub(crate) mod serving; // compares message types at compile time

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

pub use self::builtin::{Context, State, Text};
pub use self::call::Call;
pub(crate) use self::call::{DisconnectTime, Stage};
pub use self::extension::Extension;
pub use self::frame::Frame;
pub use self::local::Local;
pub use self::needs::Needs;
pub(crate) use self::needs::{Check, Keep, Kept, Need, PathType};
pub(crate) use self::received::{Received, RequestId};
pub use self::request::{ClientIp, Headers, Path, Query};
use crate::error::HandlerError;

/// A type that a handler can take as an argument: an extractor.
///
/// Implement it for your own types. If the extractor works only with a certain state or only in
/// message handlers, declare it in [`needs`](Self::needs).
///
/// ```
/// use aiows::extract::{Call, Extraction, FromCall};
/// use aiows::{HandlerError, message};
///
/// #[derive(Clone)]
/// struct Tenant(String);
///
/// impl FromCall for Tenant {
///     fn from_call(call: &Call) -> Extraction<Self> {
///         let tenant = call.websocket().context().get::<Tenant>();
///         tenant.ok_or_else(|| HandlerError::new("no_tenant", "choose a tenant first")).into()
///     }
/// }
///
/// #[message("whoami")]
/// async fn whoami(Tenant(name): Tenant) -> serde_json::Value {
///     serde_json::json!({ "type": "tenant", "name": name })
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler argument",
    label = "not an extractor",
    note = "a message can only be the last argument of a `#[message]` handler",
    note = "an extractor implements `aiows::extract::FromCall`",
    note = "`State<T>` and `Context<T>` are extractors if `T: Clone + Send + Sync + 'static`, `Local<T>` if `T: Default + Send + Sync + 'static`"
)]
pub trait FromCall: Sized {
    /// Takes the value out of the call.
    ///
    /// If the value is available at once, return [`Extraction::ready`] (or `result.into()`), which
    /// does not allocate. If it has to be awaited, return [`Extraction::pending`].
    fn from_call(call: &Call) -> Extraction<Self>;

    /// Declares the requirements of the extractor. [`Server::build`](crate::server::Server::build)
    /// checks it.
    fn needs(needs: &mut Needs) {
        let _ = needs;
    }
}

/// The result of an extractor, or a future of it.
pub struct Extraction<T> {
    progress: Progress<T>,
}

enum Progress<T> {
    Pending(Pin<Box<dyn Future<Output = Result<T, HandlerError>> + Send>>),
    Ready(Result<T, HandlerError>),
    /// The result was returned, and the future must not be polled again.
    Taken,
}

impl<T> Extraction<T> {
    /// Makes an extraction that awaits the value.
    ///
    /// ```
    /// use aiows::extract::{Call, Extraction, FromCall};
    ///
    /// struct Quota(u32);
    ///
    /// impl FromCall for Quota {
    ///     fn from_call(_call: &Call) -> Extraction<Self> {
    ///         Extraction::pending(async { Ok(Quota(load_quota().await)) })
    ///     }
    /// }
    /// # async fn load_quota() -> u32 { 7 }
    /// ```
    pub fn pending(future: impl Future<Output = Result<T, HandlerError>> + Send + 'static) -> Self {
        Self { progress: Progress::Pending(Box::pin(future)) }
    }

    /// Makes an extraction from a value that is available now. `result.into()` does the same.
    #[must_use]
    pub fn ready(result: Result<T, HandlerError>) -> Self {
        Self { progress: Progress::Ready(result) }
    }
}

impl<T, E: Into<HandlerError>> From<Result<T, E>> for Extraction<T> {
    fn from(result: Result<T, E>) -> Self {
        Self::ready(result.map_err(Into::into))
    }
}

impl Call {
    /// Extracts a value of any type that implements [`FromCall`].
    ///
    /// # Errors
    ///
    /// Returns the error of the extractor.
    pub async fn extract<T: FromCall>(&self) -> Result<T, HandlerError> {
        T::from_call(self).await
    }
}

// The future in the box is pinned on its own, and a result is moved out whole.
impl<T> Unpin for Extraction<T> {}

impl<T> Future for Extraction<T> {
    type Output = Result<T, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Progress::Pending(future) = &mut self.progress {
            return future.as_mut().poll(cx);
        }
        match std::mem::replace(&mut self.progress, Progress::Taken) {
            Progress::Ready(result) => Poll::Ready(result),
            Progress::Pending(_) | Progress::Taken => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Extraction<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = matches!(self.progress, Progress::Ready(_));
        f.debug_struct("Extraction").field("ready", &ready).finish()
    }
}
