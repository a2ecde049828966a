//! Writing to the sockets of many at once, instead of waking the session of each.

use std::ops::Range;
use std::sync::OnceLock;

use tokio::runtime::Handle;
use tokio::task::yield_now;

use super::target::CHUNK;
use crate::websocket::Members;

/// Some members to whom a publisher has promised to write.
///
/// It is a task of its own, so that everything a publisher says in its turn is one write to each.
/// Nobody owns the task, but it waits for nothing, only gives others their turn; a runtime that stops
/// drops it, which leaves the rest to the sessions. There are never more of them than members who were
/// promised something.
struct Errand {
    members: Members,
    left: Range<usize>,
}

/// Where errands run: the runtime of the sessions, since a publisher's may stand still.
#[derive(Debug, Default)]
pub(super) struct Errands {
    runtime: OnceLock<Handle>,
}

impl Errands {
    /// Notes the runtime of the caller, if it is the first.
    pub(super) fn run_here(&self) {
        if self.runtime.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            let _ = self.runtime.set(runtime);
        }
    }

    pub(super) fn start(&self, members: &Members, range: Range<usize>) {
        let mut errand = Errand { members: members.clone(), left: range };
        if let Some(runtime) = self.runtime.get() {
            drop(runtime.spawn(async move { errand.run().await }));
        }
    }
}

impl Errand {
    async fn run(&mut self) {
        while !self.left.is_empty() {
            for at in self.left.by_ref().take(CHUNK) {
                self.members[at].outbox().keep_promise();
            }
            yield_now().await;
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        for at in self.left.by_ref() {
            self.members[at].outbox().break_promise();
        }
    }
}
