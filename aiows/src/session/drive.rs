use std::future::poll_fn;
use std::task::Poll;

use tokio::time::{Instant, timeout_at};

use super::io::{ConnectionIo, poll_unconstrained};
use crate::call::Call;
use crate::route::{self, BoxFuture, Returned, drop_caught, poll_caught};
use crate::router::Endpoint;

/// Calls a handler, which runs when its future is polled.
pub(super) fn start(endpoint: &Endpoint, call: &Call) -> BoxFuture {
    route::start(|| (endpoint.run)(call.clone()))
}

/// Runs a handler and keeps the connection alive meanwhile.
///
/// `None` if the connection ended and its grace for handlers is over: the handler is dropped.
pub(super) async fn drive(io: &mut ConnectionIo, mut handler: BoxFuture) -> Option<Returned> {
    let returned = poll_fn(|cx| {
        if let Poll::Ready(returned) = poll_caught(handler.as_mut(), cx) {
            return Poll::Ready(Some(returned));
        }
        poll_unconstrained(cx, |cx| io.poll_beside_handler(cx)).map(|()| None)
    })
    .await;
    drop_caught(handler);
    io.note_handler_returned();
    returned
}

/// Runs a handler while the connection is being closed; `None` if it has not returned in time.
pub(super) async fn beside(
    io: &mut ConnectionIo,
    mut handler: BoxFuture,
    deadline: Instant,
) -> Option<Returned> {
    let run = poll_fn(|cx| {
        let returned = poll_caught(handler.as_mut(), cx);
        if returned.is_pending() {
            // Whether the closing is finished does not matter here: the handler is waited for.
            let _ = poll_unconstrained(cx, |cx| io.poll_finish(cx));
        }
        returned
    });
    let returned = timeout_at(deadline, run).await.ok();
    drop_caught(handler);
    returned
}
