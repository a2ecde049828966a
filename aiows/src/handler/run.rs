//! Runs application code, and limits a panic of it to the call in which it happened.

use std::future::{Future, poll_fn, ready};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::field::display;

use super::{BoxFuture, Outcome, Run};
use crate::error::{HandlerError, Panic, drop_quietly, panic_text};
use crate::extract::Call;
use crate::id::ConnectionId;

pub(crate) type Returned<T = Outcome> = Result<T, HandlerError>;

/// Calls a handler. It runs once the future is polled.
#[inline]
pub(crate) fn run(handler: &Run, call: Call) -> HandlerFuture {
    HandlerFuture::start(Some(call.websocket().id()), || handler(call))
}

/// Runs a future until it has returned, or until `ended` is ready while the future is pending.
#[inline]
pub(crate) async fn until<F: Future + Unpin>(
    mut running: F,
    mut ended: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> ControlFlow<(), F::Output> {
    poll_fn(|cx| match Pin::new(&mut running).poll(cx) {
        Poll::Ready(returned) => Poll::Ready(ControlFlow::Continue(returned)),
        Poll::Pending => ended(cx).map(ControlFlow::Break),
    })
    .await
}

/// A call of a handler or of middleware. A panic becomes the error of the call.
///
/// It may be dropped before it has returned. A panic of a destructor is caught and logged.
pub(crate) struct HandlerFuture<T = Outcome> {
    /// `None` once the call has returned.
    running: Option<BoxFuture<T>>,
    /// `None` during the handshake, before the connection exists.
    connection: Option<ConnectionId>,
}

impl<T: Send + 'static> HandlerFuture<T> {
    /// Creates the future of a call. If `make` panics, the future resolves to an error.
    #[inline]
    pub(crate) fn start(
        connection: Option<ConnectionId>,
        make: impl FnOnce() -> BoxFuture<T>,
    ) -> Self {
        // A closure of the application may panic before it returns a future.
        let started = catch_unwind(AssertUnwindSafe(make));
        let running = started.unwrap_or_else(|panic| Box::pin(ready(Err(panicked(panic)))));
        Self { running: Some(running), connection }
    }
}

impl<T> HandlerFuture<T> {
    #[inline]
    fn drop_running(&mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.running = None)) {
            log_dropped(self.connection, panic);
        }
    }
}

impl<T> Future for HandlerFuture<T> {
    type Output = Returned<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Returned<T>> {
        let Some(running) = &mut self.running else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic))));
        if polled.is_ready() {
            self.drop_running();
        }
        polled
    }
}

impl<T> Drop for HandlerFuture<T> {
    #[inline]
    fn drop(&mut self) {
        // The thread may already be panicking, and a second panic would abort the process.
        if self.running.is_some() {
            self.drop_running();
        }
    }
}

#[cold]
fn log_dropped(connection: Option<ConnectionId>, panic: Panic) {
    let error = panicked(panic);
    let connection = connection.map(display);
    tracing::error!(connection, %error, "a cancelled handler panicked while it was dropped");
}

#[cold]
fn panicked(panic: Panic) -> HandlerError {
    let error = format!("handler panicked: {}", panic_text(&panic)).into();
    drop_quietly(panic);
    error
}
