//! Writes to the sockets of many recipients at once, without waking each session.

use std::ops::Range;

use tokio::runtime::Handle;
use tokio::task::yield_now;

use super::recipients::CHUNK;
use crate::websocket::Members;

/// Performs the deferred flushes of some members.
///
/// It is a task of its own, so that all messages a publisher sends in one turn become a single
/// write to each member. The task is not owned by the server, but it never waits: it only yields to
/// other tasks. If its runtime shuts down, the task is dropped and the sessions write the rest.
/// There are never more such tasks than members with a deferred flush.
struct FlushTask {
    members: Members,
    left: Range<usize>,
}

/// Spawns a task that performs the deferred flushes of the `members` in `range`.
pub(super) fn spawn(runtime: Option<&Handle>, members: &Members, range: Range<usize>) {
    let mut flush_task = FlushTask { members: members.clone(), left: range };
    if let Some(runtime) = runtime {
        drop(runtime.spawn(async move { flush_task.run().await }));
    }
}

impl FlushTask {
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
