//! A request body with a timeout between its parts.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::{BoxError, Error};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// A request body that fails if the client pauses for too long.
pub(crate) struct BodyTimeout {
    body: Incoming,
    timeout: Duration,
    /// Runs while the body waits for its next part.
    paused: Option<Pin<Box<Sleep>>>,
}

impl BodyTimeout {
    pub(crate) fn new(body: Incoming, timeout: Duration) -> Self {
        Self { body, timeout, paused: None }
    }
}

impl Body for BodyTimeout {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.paused = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::new)));
        }
        let timeout = self.timeout;
        let paused = self.paused.get_or_insert_with(|| Box::pin(sleep(timeout)));
        paused.as_mut().poll(cx).map(|()| Some(Err(Error::new(late()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn late() -> BoxError {
    "the body did not come in time".into()
}
