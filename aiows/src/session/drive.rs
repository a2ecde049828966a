use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::io::{ConnectionIo, poll_unconstrained};
use crate::call::Call;
use crate::id::ConnectionId;
use crate::route::{self, BoxFuture, Returned, drop_caught, poll_caught};
use crate::router::Endpoint;

/// How long a connect handler may take before it is named in the log.
const SLOW: Duration = Duration::from_secs(10);

/// Calls a handler, which runs when its future is polled.
pub(super) fn start(endpoint: &Endpoint, call: &Call) -> BoxFuture {
    route::start(|| (endpoint.run)(call.clone()))
}

/// Runs a handler and keeps the connection alive meanwhile.
///
/// `None` if the connection ended and its grace for handlers is over: the handler is dropped.
pub(super) async fn drive(io: &mut ConnectionIo, mut handler: BoxFuture) -> Option<Returned> {
    let returned = poll_fn(|cx| poll_handler(io, &mut handler, cx)).await;
    drop_caught(handler);
    io.note_handler_returned();
    returned
}

fn poll_handler(
    io: &mut ConnectionIo,
    handler: &mut BoxFuture,
    cx: &mut Context<'_>,
) -> Poll<Option<Returned>> {
    if let Poll::Ready(returned) = poll_caught(handler.as_mut(), cx) {
        return Poll::Ready(Some(returned));
    }
    poll_unconstrained(cx, |cx| io.poll_beside_handler(cx)).map(|()| None)
}

/// Runs a connect handler as [`drive`] does.
///
/// # Errors
///
/// `Elapsed` if it has not returned by the deadline. One that takes long is named before.
pub(super) async fn drive_connect(
    io: &mut ConnectionIo,
    mut handler: BoxFuture,
    deadline: Instant,
    title: &str,
) -> Result<Option<Returned>, Elapsed> {
    let id = io.id();
    let mut run = poll_fn(|cx| poll_handler(io, &mut handler, cx));
    let returned = match timeout(SLOW.min(deadline - Instant::now()), &mut run).await {
        Ok(returned) => Ok(returned),
        Err(_) => {
            warn_of_slow(id, title);
            timeout_at(deadline, run).await
        }
    };
    drop_caught(handler);
    io.note_handler_returned();
    returned
}

fn warn_of_slow(connection: ConnectionId, handler: &str) {
    tracing::warn!(
        %connection,
        handler,
        "a connect handler has not returned for {} s, and no message is handled before: leave what goes \
         on to `ws.spawn`, and what the client sends to `#[message]` handlers",
        SLOW.as_secs(),
    );
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
