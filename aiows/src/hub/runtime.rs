//! Where the tasks of the hub run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

/// The runtime of the session that began last. A publisher or a leaving connection may be on a thread
/// without a runtime, or in one that is not driven.
#[derive(Debug, Default)]
pub(super) struct LatestRuntime {
    latest: Mutex<Option<Handle>>,
}

impl LatestRuntime {
    /// Notes the runtime of the caller, a session. The latest counts: an earlier one may have ended
    /// since, and what is spawned there never runs.
    pub(super) fn note(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let _before = self.lock().replace(runtime);
    }

    pub(super) fn get(&self) -> Option<Handle> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Handle>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
