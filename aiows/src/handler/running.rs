//! Logs handlers that are dropped before they return.

use std::time::Duration;

use tokio::time::Instant;

use crate::id::ConnectionId;

/// A running handler. If it is dropped before [`finish`](Self::finish) is called, the log names the
/// handler.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    connection: ConnectionId,
    handler: &'a str,
    since: Instant,
    is_over: bool,
}

impl<'a> Running<'a> {
    pub(crate) fn begin(connection: ConnectionId, handler: &'a str) -> Self {
        Self { connection, handler, since: Instant::now(), is_over: false }
    }

    pub(crate) fn finish(mut self) {
        self.is_over = true;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            warn_of_cut(self.connection, self.handler, self.since.elapsed());
        }
    }
}

pub(crate) fn warn_of_cut(connection: ConnectionId, handler: &str, ran: Duration) {
    tracing::warn!(%connection, handler, ?ran, "a handler was cut before it returned");
}
