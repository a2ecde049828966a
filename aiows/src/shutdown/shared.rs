use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio_util::task::TaskTracker;

use super::lifecycle::ServerLifecycle;
use super::permits::ConnectionPermits;
use crate::hub::Hub;
use crate::outbox::{CloseMode, CloseRequest};

/// The state of a server that its handles and its drain task share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) hub: Hub,
    /// Requests that were refused.
    pub(super) rejected: AtomicU64,
    pub(super) permits: Arc<ConnectionPermits>,
    pub(super) lifecycle: ServerLifecycle,
    /// Owns every task of the server.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    /// Closes every connection at once.
    pub(super) fn close_all(&self, mode: CloseMode) {
        let request = CloseRequest::shutdown(mode);
        for socket in self.hub.stop_admitting(&request) {
            socket.outbox().request_close(request.clone());
        }
    }
}
