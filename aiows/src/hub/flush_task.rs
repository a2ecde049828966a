//! Writes to the sockets of many recipients at once, without waking each session.

use std::ops::Range;

use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::websocket::Members;

/// How many recipients are written to before other tasks get a turn.
pub(super) const CHUNK: usize = 128;

/// The deferred flushes of some members, which the publisher has to spawn.
///
/// It is a task of its own, so that all messages a publisher sends in one turn become a single
/// write to each member. The task is not owned by the server, but it never waits: it only yields to
/// other tasks. If it is dropped, the sessions write the rest: the publisher was cancelled, or the
/// runtime shuts down. There are never more such tasks than members with a deferred flush.
pub(super) struct FlushTask {
    members: Members,
    left: Range<usize>,
}

impl FlushTask {
    /// Begins without members. Those before `start` are never included.
    pub(super) fn new(members: &Members, start: usize) -> Self {
        Self { members: members.clone(), left: start..start }
    }

    /// Includes the members up to this one.
    pub(super) fn include(&mut self, at: usize) {
        self.left.end = at + 1;
    }

    /// Spawns the task if it has members.
    pub(super) fn spawn(mut self, runtime: Option<&Handle>) {
        if let Some(runtime) = runtime.filter(|_| !self.left.is_empty()) {
            drop(runtime.spawn(async move { self.run().await }));
        }
    }

    async fn run(&mut self) {
        while !self.left.is_empty() {
            for at in self.left.by_ref().take(CHUNK) {
                self.members[at].outbox().flush_deferred();
            }
            yield_now().await;
        }
    }
}

impl Drop for FlushTask {
    fn drop(&mut self) {
        for at in self.left.by_ref() {
            self.members[at].outbox().cancel_deferred();
        }
    }
}
