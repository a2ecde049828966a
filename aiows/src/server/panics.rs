//! Keeps a panic of the application to the request it happened in.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use crate::error::{HandlerError, Panic, drop_quietly, panic_text};
use crate::handshake::Refusal;

/// Runs code of the application; a panic becomes an internal error.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, HandlerError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(panicked)
}

/// Awaits code of the application; a panic becomes an internal error.
pub(super) async fn caught_future<F: Future>(future: F) -> Result<F::Output, HandlerError> {
    let output = AssertUnwindSafe(future).catch_unwind().await;
    output.map_err(panicked)
}

fn panicked(panic: Panic) -> HandlerError {
    let error = format!("the application panicked: {}", panic_text(&panic)).into();
    drop_quietly(panic);
    error
}

/// Makes the answer to an error of the application, and logs what the client does not see.
pub(super) fn refusal(error: &HandlerError) -> Refusal {
    if let Some(error_id) = error.error_id() {
        tracing::error!(error_id, %error, "a request failed");
    }
    Refusal::from_error(error)
}
