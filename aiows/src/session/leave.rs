//! The disconnect handlers: each has a time of its own, and together they have what a stop leaves them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::io::{ConnectionIo, poll_unconstrained};
use crate::extract::DisconnectTime;
use crate::handler::{BoxFuture, Returned, drop_caught, poll_caught};
use crate::limits::{CUT_GRACE, deadline_after};

/// How long the disconnect handlers of a connection have together once a stop has cut it. It is less than what
/// the stop waits, so that a handler that hangs is named before the program ends.
const CUT_TIME: Duration = CUT_GRACE.saturating_sub(Duration::from_millis(100));

/// When the handlers that still run are dropped, because a stop has cut the connection.
#[derive(Default)]
pub(super) struct Cut(Option<Instant>);

/// Runs a handler while the connection is being closed; `None` if it has not returned in time.
pub(super) async fn beside(
    io: &mut ConnectionIo,
    mut handler: BoxFuture,
    limit: Duration,
    cut: &mut Cut,
) -> Option<Returned> {
    let returned = poll_beside(io, &mut handler, limit, cut).await;
    drop_caught(|| Some(io.id()), handler);
    returned
}

/// Runs handlers inside of middleware, which are timed one by one. When the connection is cut, those that are
/// left are called, and dropped where they would wait.
pub(super) async fn beside_group(
    io: &mut ConnectionIo,
    mut group: BoxFuture,
    time: &DisconnectTime,
    cut: &mut Cut,
) -> Option<Returned> {
    let mut returned = poll_beside(io, &mut group, Duration::MAX, cut).await;
    if returned.is_none() {
        time.end();
        returned = poll_fn(|cx| match poll_caught(group.as_mut(), cx) {
            Poll::Ready(returned) => Poll::Ready(Some(returned)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
    }
    drop_caught(|| Some(io.id()), group);
    returned
}

async fn poll_beside(
    io: &mut ConnectionIo,
    handler: &mut BoxFuture,
    limit: Duration,
    cut: &mut Cut,
) -> Option<Returned> {
    let mut timer = pin!(sleep_until(deadline_after(limit)));
    poll_fn(|cx| match poll_caught(handler.as_mut(), cx) {
        Poll::Ready(returned) => Poll::Ready(Some(returned)),
        Poll::Pending => poll_unconstrained(cx, |cx| {
            // Whether the closing is finished does not matter here: the handler is waited for.
            let _ = io.poll_finish(cx);
            cut.poll(io, timer.as_mut(), cx).map(|()| None)
        }),
    })
    .await
}

impl Cut {
    /// `Ready` at the deadline of a handler, which is earlier if the connection is cut.
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
