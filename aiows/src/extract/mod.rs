//! What a handler may take as its arguments.

pub(crate) mod argument;
mod builtin;
mod call;
mod extension;
mod frame;
#[cfg(feature = "axum")]
pub(crate) mod json_body;
mod local;
mod needs;
mod params;
mod request;
pub(crate) mod serving;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

pub use self::builtin::{Context, State, Text};
pub use self::call::Call;
pub(crate) use self::call::{DisconnectTime, Received, RequestId, Stage};
pub use self::extension::Extension;
pub use self::frame::Frame;
pub use self::local::Local;
pub use self::needs::Needs;
pub(crate) use self::needs::{Check, Keep, Kept, Need, PathType};
pub use self::request::{ClientIp, Headers, Path, Query};
use crate::error::HandlerError;

/// A type a handler may take as an argument.
///
/// ```
/// use aiows::{Call, Extraction, FromCall, HandlerError, message};
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
    /// A value that is at hand is returned as [`Extraction::ready`] (`result.into()`), which costs
    /// nothing; one that has to be waited for as [`Extraction::pending`].
    fn from_call(call: &Call) -> Extraction<Self>;

    /// Says what has to be there for the extractor to work; checked when the server is built.
    fn needs(needs: &mut Needs) {
        let _ = needs;
    }
}

/// The way to a handler's argument: a result, or a future of one.
pub struct Extraction<T> {
    way: Way<T>,
}

enum Way<T> {
    Pending(Pin<Box<dyn Future<Output = Result<T, HandlerError>> + Send>>),
    Ready(Result<T, HandlerError>),
    /// The result was handed out.
    Taken,
}

impl<T> Extraction<T> {
    /// Waits for the value.
    ///
    /// ```
    /// use aiows::{Call, Extraction, FromCall};
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
        Self { way: Way::Pending(Box::pin(future)) }
    }

    /// Has the value at hand; `result.into()` is the same.
    #[must_use]
    pub fn ready(result: Result<T, HandlerError>) -> Self {
        Self { way: Way::Ready(result) }
    }
}

impl<T, E: Into<HandlerError>> From<Result<T, E>> for Extraction<T> {
    fn from(result: Result<T, E>) -> Self {
        Self::ready(result.map_err(Into::into))
    }
}

impl Call {
    /// Takes anything a handler may take as an argument.
    ///
    /// # Errors
    ///
    /// What the extractor answers.
    pub async fn extract<T: FromCall>(&self) -> Result<T, HandlerError> {
        T::from_call(self).await
    }
}

// The value is moved out whole and never pinned.
impl<T> Unpin for Extraction<T> {}

impl<T> Future for Extraction<T> {
    type Output = Result<T, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Way::Pending(future) = &mut self.way {
            return future.as_mut().poll(cx);
        }
        match std::mem::replace(&mut self.way, Way::Taken) {
            Way::Ready(result) => Poll::Ready(result),
            Way::Pending(_) | Way::Taken => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Extraction<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = matches!(self.way, Way::Ready(_));
        f.debug_struct("Extraction").field("ready", &ready).finish()
    }
}
