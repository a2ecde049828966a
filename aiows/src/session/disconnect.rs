//! Time limits of disconnect handlers: each one has its own, and a shutdown limits all of them
//! together.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::io::{ConnectionIo, poll_unconstrained};
use crate::extract::DisconnectTime;
use crate::handler::{HandlerFuture, Returned};
use crate::limits::{CUT_GRACE, deadline_after};

/// How long all disconnect handlers of a connection may run once a shutdown has cut the connection.
/// It is less than the shutdown waits, so that a handler that hangs is logged before the program
/// ends.
const CUT_TIME: Duration = CUT_GRACE.saturating_sub(Duration::from_millis(100));

/// The deadline of all handlers that still run; set once a shutdown has cut the connection.
#[derive(Default)]
pub(super) struct CutDeadline(Option<Instant>);

/// Runs a group of handlers inside middleware, each with a time limit of its own. If the connection
/// is cut, the remaining handlers are still called, but each is dropped as soon as it is pending.
pub(super) async fn run_disconnect_group(
    io: &mut ConnectionIo,
    mut group: HandlerFuture,
    time: &DisconnectTime,
    cut: &mut CutDeadline,
) -> Option<Returned> {
    let returned = run_while_closing(io, &mut group, Duration::MAX, cut).await;
    returned.or_else(|| {
        time.end();
        group.now_or_never()
    })
}

/// Runs a handler while the connection closes; `None` if it has not returned in time.
pub(super) async fn run_while_closing<F: Future + Unpin>(
    io: &mut ConnectionIo,
    mut handler: F,
    limit: Duration,
    cut: &mut CutDeadline,
) -> Option<F::Output> {
    let mut timer = pin!(sleep_until(deadline_after(limit)));
    poll_fn(|cx| match handler.poll_unpin(cx) {
        Poll::Ready(returned) => Poll::Ready(Some(returned)),
        Poll::Pending => poll_unconstrained(cx, |cx| {
            // It does not matter whether the connection has finished closing: the handler is
            // awaited in any case.
            let _ = io.poll_finish(cx);
            cut.poll(io, timer.as_mut(), cx).map(|()| None)
        }),
    })
    .await
}

impl CutDeadline {
    /// Returns `Ready` at the deadline of a handler, which comes earlier if the connection is cut.
    fn poll(
        &mut self,
        io: &ConnectionIo,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if io.is_cut() {
            let by = *self.0.get_or_insert_with(|| deadline_after(CUT_TIME));
            if by < timer.deadline() {
                timer.as_mut().reset(by);
            }
        }
        timer.poll(cx)
    }
}
