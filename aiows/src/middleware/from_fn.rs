//! Middleware made of a closure.

use std::any::type_name;
use std::fmt;
use std::future::Future;

use super::{Middleware, Next};
use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::Outcome;

/// Middleware for messages, made of a closure by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F> {
    on_message: F,
}

/// Makes middleware from a closure or an `async fn`, which becomes its
/// [`on_message`](Middleware::on_message).
///
/// ```
/// use aiows::middleware::from_fn;
/// use aiows::{HandlerError, Router};
///
/// let limit = from_fn(|call, next| async move {
///     if call.text().is_some_and(|text| text.len() > 1024) {
///         return Err(HandlerError::new("too_long", "at most 1024 bytes"));
///     }
///     next.run(call).await
/// });
/// let router = Router::new().middleware(limit);
/// # let _: Router = router;
/// ```
pub fn from_fn<F, Fut>(on_message: F) -> FromFn<F>
where
    F: Fn(Call, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, HandlerError>> + Send,
{
    FromFn { on_message }
}

impl<F, Fut> Middleware for FromFn<F>
where
    F: Fn(Call, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, HandlerError>> + Send,
{
    fn on_message(
        &self,
        call: Call,
        next: Next,
    ) -> impl Future<Output = Result<Outcome, HandlerError>> + Send {
        (self.on_message)(call, next)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromFn").field(&type_name::<F>()).finish()
    }
}
