use std::future::poll_fn;
use std::task::Poll;

use super::link::Link;
use crate::call::Call;
use crate::route::{self, BoxFuture, Returned, poll_caught};
use crate::router::Endpoint;

/// Calls a handler, which runs when its future is polled.
pub(super) fn start(endpoint: &Endpoint, call: &Call) -> BoxFuture {
    route::start(|| (endpoint.run)(call.clone()))
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
