use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::outage::Outage;
use crate::admission::AdmissionControl;
use crate::error::Error;
use crate::shutdown::{Ending, Owner, ServerHandle};

/// A server that has been built without mistakes and is ready to serve.
#[derive(Clone)]
pub struct App {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) admission: AdmissionControl,
    pub(super) owner: Owner,
    pub(super) outage: Outage,
    pub(super) shutdown_timeout: Duration,
    /// The application that answers requests which are not for a WebSocket.
    #[cfg(feature = "axum")]
    pub(super) http: Option<axum::Router>,
}

impl App {
    /// Returns the handle on the server.
    #[must_use]
    pub fn handle(&self) -> &ServerHandle {
        self.inner.owner.handle()
    }

    /// Spawns the task that drains the server at its stop, unless it runs already.
    pub(super) fn spawn_drain(&self) {
        self.handle().spawn_drain(&Handle::current());
    }

    /// Makes the server ready before `serve` is polled, for streams that a test passes to it.
    #[cfg(feature = "test-util")]
    pub(crate) fn begin(&self) {
        self.spawn_drain();
        self.handle().lifecycle().listen(Vec::new());
    }

    /// Waits until the server has stopped.
    pub(super) async fn ended(&self) -> Result<(), Error> {
        match self.handle().lifecycle().ended().await {
            Ending::Orderly => Ok(()),
            Ending::Forced => Err(Error::forced()),
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("handle", self.handle()).finish_non_exhaustive()
    }
}
