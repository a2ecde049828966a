use std::time::Duration;

use super::handle::ServerHandle;
use super::lifecycle::Ending;
use crate::limits::deadline_after;

/// Ends the server when the last `Server` or `App` is dropped.
pub(crate) struct Owner {
    handle: ServerHandle,
}

/// Stops the server when the future that serves it is dropped.
pub(crate) struct StopOnDrop {
    pub(crate) handle: ServerHandle,
    pub(crate) timeout: Duration,
}

impl Owner {
    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self { handle: ServerHandle::new() }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // No connection is left, because each one keeps its `App`.
        self.handle.lifecycle().end(Ending::Orderly);
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.handle.stop(deadline_after(self.timeout));
    }
}
