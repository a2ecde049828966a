//! The runtime on which the hub spawns its tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

/// The runtime of the session that started last. Publishers and leaving connections may be on a
/// thread without a runtime, or on a runtime that is not driven.
#[derive(Debug, Default)]
pub(super) struct LatestRuntime {
    latest: Mutex<Option<Handle>>,
}

impl LatestRuntime {
    /// Records the runtime of the calling session. The last call wins: an earlier runtime may have
    /// shut down, and tasks spawned there would never run.
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
