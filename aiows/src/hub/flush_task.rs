//! Writing to the sockets of many at once, instead of waking the session of each.

use std::ops::Range;

use tokio::runtime::Handle;
use tokio::task::yield_now;

use super::recipients::CHUNK;
use crate::websocket::Members;

/// Some members to whom a publisher has promised to write.
///
/// It is a task of its own, so that everything a publisher says in its turn is one write to each.
/// Nobody owns the task, but it waits for nothing, only gives others their turn; a runtime that stops
/// drops it, which leaves the rest to the sessions. There are never more of them than members who were
/// promised something.
struct FlushTask {
    members: Members,
    left: Range<usize>,
}

/// Has those of `members` in `range` written to whom something was promised.
pub(super) fn start(runtime: Option<&Handle>, members: &Members, range: Range<usize>) {
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
