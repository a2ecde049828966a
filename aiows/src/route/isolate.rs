//! Keeps a panic of the application's code to the call it happened in.

use std::any::Any;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::BoxFuture;
use crate::error::HandlerError;
use crate::outcome::Outcome;

pub(crate) type Returned = Result<Outcome, HandlerError>;

type Running = dyn Future<Output = Returned> + Send;

/// Makes the future of a call; a panic on the way becomes the future's error.
pub(crate) fn start(make: impl FnOnce() -> BoxFuture) -> BoxFuture {
    // A closure of the application's may panic before it returns a future.
    let started = catch_unwind(AssertUnwindSafe(make));
    started.unwrap_or_else(|panic| Box::pin(ready(Err(panicked(panic.as_ref())))))
}

/// Polls a call; a panic becomes its error.
pub(crate) fn poll_caught(running: Pin<&mut Running>, cx: &mut Context<'_>) -> Poll<Returned> {
    let polled = catch_unwind(AssertUnwindSafe(|| running.poll(cx)));
    polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic.as_ref()))))
}

/// Drops a call that may not have returned; a panic of a value it held is logged and stays here.
pub(crate) fn drop_caught(running: BoxFuture) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(running))) {
        let error = panicked(panic.as_ref());
        tracing::error!(%error, "a cancelled handler panicked while it was dropped");
    }
}

/// A call inside of another one, which sees the panic as an error.
pub(crate) struct Isolated(BoxFuture);

pub(crate) fn isolated(make: impl FnOnce() -> BoxFuture) -> Isolated {
    Isolated(start(make))
}

impl Future for Isolated {
    type Output = Returned;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Returned> {
        poll_caught(self.0.as_mut(), cx)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    format!("handler panicked: {}", panic_text(panic)).into()
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}
