use std::any::Any;
use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::link::Link;
use crate::call::Call;
use crate::error::HandlerError;
use crate::outcome::Outcome;
use crate::route::BoxFuture;
use crate::router::Endpoint;

type Returned = Result<Outcome, HandlerError>;

/// Calls a handler, which runs when its future is polled.
pub(super) fn start(endpoint: &Endpoint, call: &Call) -> BoxFuture {
    // A closure of the application's may panic before it returns a future.
    let started = catch_unwind(AssertUnwindSafe(|| (endpoint.run)(call.clone())));
    started.unwrap_or_else(|panic| Box::pin(ready(Err(panicked(panic.as_ref())))))
}

/// Runs a handler and keeps the connection alive meanwhile.
///
/// `None` when the connection ended and its grace for handlers is over: the handler is dropped.
pub(super) async fn drive(link: &mut Link, mut handler: BoxFuture) -> Option<Returned> {
    poll_fn(|cx| {
        if let Poll::Ready(returned) = poll_caught(handler.as_mut(), cx) {
            return Poll::Ready(Some(returned));
        }
        link.poll_busy(cx).map(|()| None)
    })
    .await
}

/// Runs a handler to its end while the connection is being closed.
pub(super) async fn beside(link: &mut Link, mut handler: BoxFuture) -> Returned {
    poll_fn(|cx| {
        let returned = poll_caught(handler.as_mut(), cx);
        if returned.is_pending() {
            // Whether the closing is finished does not matter here: the handler is waited for.
            let _ = link.poll_finish(cx);
        }
        returned
    })
    .await
}

type Handler = dyn Future<Output = Returned> + Send;

/// Polls a handler; a panic becomes its error.
fn poll_caught(handler: Pin<&mut Handler>, cx: &mut Context<'_>) -> Poll<Returned> {
    let polled = catch_unwind(AssertUnwindSafe(|| handler.poll(cx)));
    polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic.as_ref()))))
}

fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    format!("handler panicked: {text}").into()
}
