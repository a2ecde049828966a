use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use crate::error::{HandlerError, Panic, drop_quietly, panic_text};
use crate::handshake::Refusal;

/// Runs code of the application. A panic becomes an internal error.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, HandlerError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(error_of)
}

/// Awaits code of the application. A panic becomes an internal error.
pub(crate) async fn caught_future<F: Future>(future: F) -> Result<F::Output, HandlerError> {
    let output = AssertUnwindSafe(future).catch_unwind().await;
    output.map_err(error_of)
}

fn error_of(panic: Panic) -> HandlerError {
    let error = format!("the application panicked: {}", panic_text(&panic)).into();
    drop_quietly(panic);
    error
}

/// Makes the answer to an error of the application, and logs an error that the client does not see.
pub(crate) fn refusal_for(error: &HandlerError) -> Refusal {
    if let Some(error_id) = error.error_id() {
        tracing::error!(error_id, %error, "a request failed");
    }
    Refusal::from_error(error)
}
