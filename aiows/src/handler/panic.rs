//! Limits a panic in application code to the call in which it happened.

use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::field::display;

use super::{BoxFuture, Outcome};
use crate::error::{HandlerError, Panic, drop_quietly, panic_text};
use crate::id::ConnectionId;

pub(crate) type Returned = Result<Outcome, HandlerError>;

type Running = dyn Future<Output = Returned> + Send;

/// Creates the future of a call. If `make` panics, the future resolves to an error.
pub(crate) fn start_caught(make: impl FnOnce() -> BoxFuture) -> BoxFuture {
    // A closure of the application may panic before it returns a future.
    let started = catch_unwind(AssertUnwindSafe(make));
    started.unwrap_or_else(|panic| Box::pin(ready(Err(panicked(panic)))))
}

/// Polls a call. A panic becomes the error of the call.
pub(crate) fn poll_caught(running: Pin<&mut Running>, cx: &mut Context<'_>) -> Poll<Returned> {
    let polled = catch_unwind(AssertUnwindSafe(|| running.poll(cx)));
    polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic))))
}

/// Drops a call, possibly before it returned. A panic of a destructor is caught and logged.
pub(crate) fn drop_caught(connection: impl FnOnce() -> Option<ConnectionId>, running: BoxFuture) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(running))) {
        log_dropped(connection(), panic);
    }
}

#[cold]
fn log_dropped(connection: Option<ConnectionId>, panic: Panic) {
    let error = panicked(panic);
    let connection = connection.map(display);
    tracing::error!(connection, %error, "a cancelled handler panicked while it was dropped");
}

/// A call within another one. Its panic becomes an error for the outer call.
pub(crate) struct Isolated {
    running: Option<BoxFuture>,
    /// `None` during the handshake, before the connection exists.
    connection: Option<ConnectionId>,
}

#[inline]
pub(crate) fn isolated(
    connection: Option<ConnectionId>,
    make: impl FnOnce() -> BoxFuture,
) -> Isolated {
    Isolated { running: Some(start_caught(make)), connection }
}

impl Future for Isolated {
    type Output = Returned;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Returned> {
        match &mut self.running {
            Some(running) => poll_caught(running.as_mut(), cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Isolated {
    #[inline]
    fn drop(&mut self) {
        // The thread may already be panicking, and a second panic would abort the process.
        let connection = self.connection;
        self.running.take().into_iter().for_each(|running| drop_caught(|| connection, running));
    }
}

fn panicked(panic: Panic) -> HandlerError {
    let error = format!("handler panicked: {}", panic_text(&panic)).into();
    drop_quietly(panic);
    error
}
