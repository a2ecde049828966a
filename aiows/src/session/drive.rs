use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use tokio::time::{Instant, timeout_at};

use super::io::{ConnectionIo, poll_unconstrained};
use crate::extract::Call;
use crate::handler::{self, BoxFuture, Returned, drop_caught, poll_caught, warn_of_cut};
use crate::id::ConnectionId;
use crate::limits::SLOW_HANDLER;
use crate::router::CompiledHandler;

/// What is run, for the log.
#[derive(Clone, Copy)]
enum Job<'a> {
    Connect(&'a CompiledHandler),
    Message(&'a str),
}

/// Calls a handler, which runs when its future is polled.
pub(super) fn start_handler(endpoint: &CompiledHandler, call: &Call) -> BoxFuture {
    handler::start_caught(|| (endpoint.run)(call.clone()))
}

/// Runs a handler and keeps the connection alive meanwhile.
///
/// `Break` if the connection ended and its grace for handlers is over: the handler is dropped.
pub(super) async fn drive(
    io: &mut ConnectionIo,
    mut handler: BoxFuture,
    title: &str,
) -> ControlFlow<(), Returned> {
    let returned = poll_fn(|cx| poll_handler(io, &mut handler, Job::Message(title), cx)).await;
    drop_caught(|| Some(io.id()), handler);
    io.note_handler_returned();
    returned
}

#[inline(always)]
fn poll_handler(
    io: &mut ConnectionIo,
    handler: &mut BoxFuture,
    job: Job<'_>,
    cx: &mut Context<'_>,
) -> Poll<ControlFlow<(), Returned>> {
    if let Poll::Ready(returned) = poll_caught(handler.as_mut(), cx) {
        return Poll::Ready(ControlFlow::Continue(returned));
    }
    poll_beside(io, job, cx)
}

/// Keeps the connection alive while a handler is pending.
#[inline(never)]
fn poll_beside(
    io: &mut ConnectionIo,
    job: Job<'_>,
    cx: &mut Context<'_>,
) -> Poll<ControlFlow<(), Returned>> {
    let ended = poll_unconstrained(cx, |cx| io.poll_beside_handler(cx));
    match ended {
        Poll::Ready(()) => job.warn_of_cut(io),
        Poll::Pending if io.take_slow() => job.warn_of_slow(io.id()),
        Poll::Pending => {}
    }
    ended.map(ControlFlow::Break)
}

/// Runs a connect handler as [`drive`] does.
///
/// # Errors
///
/// `Late` if it has not returned by the deadline.
pub(super) async fn drive_connect(
    io: &mut ConnectionIo,
    mut handler: BoxFuture,
    deadline: Instant,
    endpoint: &CompiledHandler,
) -> Result<ControlFlow<(), Returned>, Late> {
    let run = poll_fn(|cx| poll_handler(io, &mut handler, Job::Connect(endpoint), cx));
    let returned = timeout_at(deadline, run).await.map_err(|_| Late);
    drop_caught(|| Some(io.id()), handler);
    // A group has named its own handler when it was dropped.
    if returned.is_err() && !endpoint.is_group {
        let (connection, handler, ran) = (io.id(), &*endpoint.title, io.handler_time());
        tracing::warn!(%connection, handler, ?ran, "a connect handler did not return in time");
    }
    io.note_handler_returned();
    returned
}

/// A connect handler has not returned in time.
pub(super) struct Late;

impl Job<'_> {
    fn warn_of_cut(self, io: &ConnectionIo) {
        match self {
            Self::Connect(CompiledHandler { is_group: true, .. }) => {}
            Self::Connect(CompiledHandler { title, .. }) => {
                warn_of_cut(io.id(), title, io.handler_time())
            }
            Self::Message(title) => warn_of_cut(io.id(), title, io.handler_time()),
        }
    }

    fn warn_of_slow(self, connection: ConnectionId) {
        let seconds = SLOW_HANDLER.as_secs();
        match self {
            Self::Connect(endpoint) => tracing::warn!(
                %connection,
                handler = endpoint.title,
                "a connect handler has not returned for {seconds} s, and no message is handled before: leave \
                 what goes on to `ws.spawn`, and what the client sends to `#[message]` handlers",
            ),
            Self::Message(handler) => tracing::warn!(
                %connection,
                handler,
                "a message handler has not returned for {seconds} s, and no later message of this client is \
                 handled before: leave what goes on to `ws.spawn`",
            ),
        }
    }
}
