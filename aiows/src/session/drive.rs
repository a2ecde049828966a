//! Keeps a connection alive while one of its handlers is pending.

use std::future::Future;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use tokio::time::{Instant, timeout_at};

use super::io::{ConnectionIo, poll_unconstrained};
use crate::handler::{HandlerFuture, Returned, until, warn_of_cut};
use crate::id::ConnectionId;
use crate::limits::SLOW_HANDLER;
use crate::router::CompiledHandler;

/// The handler that runs, for the log.
#[derive(Clone, Copy)]
pub(super) enum Job<'a> {
    Connect(&'a CompiledHandler),
    Message(&'a str),
}

/// Runs a handler or an error hook, and keeps the connection alive while it is pending.
///
/// Returns `Break` if the connection has ended and its grace for handlers is over. The handler is
/// dropped then.
#[inline]
pub(super) async fn drive<F: Future + Unpin>(
    io: &mut ConnectionIo,
    running: F,
    title: &str,
) -> ControlFlow<(), F::Output> {
    let returned = until(running, |cx| poll_connection(io, Job::Message(title), cx)).await;
    io.note_handler_returned();
    returned
}

/// Keeps the connection alive while a handler is pending; `Ready` if the handler has to be dropped.
#[inline(never)]
pub(super) fn poll_connection(
    io: &mut ConnectionIo,
    job: Job<'_>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let ended = poll_unconstrained(cx, |cx| io.poll_during_handler(cx));
    match ended {
        Poll::Ready(()) => job.warn_of_cut(io),
        Poll::Pending if io.take_slow_warning() => job.warn_of_slow(io.id()),
        Poll::Pending => {}
    }
    ended
}

/// Runs a connect handler like [`drive`].
///
/// # Errors
///
/// `ConnectTimeout` if the handler has not returned by the deadline.
pub(super) async fn drive_connect(
    io: &mut ConnectionIo,
    running: HandlerFuture,
    deadline: Instant,
    handler: &CompiledHandler,
) -> Result<ControlFlow<(), Returned>, ConnectTimeout> {
    let run = until(running, |cx| poll_connection(io, Job::Connect(handler), cx));
    let returned = timeout_at(deadline, run).await.map_err(|_| ConnectTimeout);
    // A group has logged the name of its own handler when it was dropped.
    if returned.is_err() && !handler.is_group {
        let (connection, handler, ran) = (io.id(), &*handler.title, io.handler_time());
        tracing::warn!(%connection, handler, ?ran, "a connect handler did not return in time");
    }
    io.note_handler_returned();
    returned
}

/// A connect handler that has not returned in time.
pub(super) struct ConnectTimeout;

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
            Self::Connect(handler) => tracing::warn!(
                %connection,
                handler = handler.title,
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
