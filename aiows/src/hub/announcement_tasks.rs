//! The tasks that announce the changes of rooms to their members.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use super::announcer::Announcer;
use super::group::{NextStep, PendingAnnouncement};
use super::presence::GraceWait;

/// How long the changes of a room are collected, so that a crowd that joins at once costs each
/// member one message.
const GATHER: Duration = Duration::from_millis(50);

/// Owns the announcement tasks of a namespace.
///
/// A room has at most two: one collects and sends changes, and one waits for users in their
/// grace period.
#[derive(Debug, Default)]
pub(super) struct AnnouncementTasks {
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    running: JoinSet<()>,
    /// Set when the server stops: no further task is spawned.
    is_stopped: bool,
}

impl AnnouncementTasks {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spawn(&self, runtime: Option<&Handle>, pending: PendingAnnouncement) {
        let runtime = runtime.cloned().or_else(|| Handle::try_current().ok());
        let mut tasks = self.lock();
        if tasks.is_stopped {
            drop(tasks);
            return pending.cancel();
        }
        let Some(runtime) = runtime else { return };
        // Finished tasks stay in the set until they are joined.
        while tasks.running.try_join_next().is_some() {}
        tasks.running.spawn_on(announce(pending), &runtime);
    }

    /// Aborts all running tasks and prevents new ones.
    pub(super) fn stop(&self) {
        let running = {
            let mut tasks = self.lock();
            tasks.is_stopped = true;
            std::mem::take(&mut tasks.running)
        };
        // Dropped outside of the lock: a task may hold the last handle on a connection.
        drop(running);
    }
}

/// Announces the changes of one room until none have arrived for `GATHER` and all members have the
/// list. One task sends all announcements of a room, so they stay in order.
async fn announce(mut pending: PendingAnnouncement) {
    let mut announcer = Announcer::default();
    loop {
        sleep(GATHER).await;
        match pending.next(|id| announcer.progress(id)) {
            NextStep::Announce(members, changes) => {
                let announced = announcer.announce(pending.room(), &members, changes).await;
                pending.record_sent(&announced.caught_up, announced.missed);
            }
            NextStep::Wait(GraceWait { until, mut over }) => {
                // All readers have their lists by now. Another task may start while this one waits.
                announcer = Announcer::default();
                if timeout_at(until, &mut over).await.is_ok() || !pending.resume(&mut over) {
                    return;
                }
            }
            NextStep::End => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codec::Tag;
    use crate::hub::Hub;
    use crate::hub::group::Groups;
    use crate::limits::Limits;
    use crate::outbox::Outbox;
    use crate::websocket::{Listing, Peer, WebSocket, describe};

    #[test]
    fn after_the_stop_changes_of_a_room_start_no_further_task() {
        let (_, namespace) = Hub::with_default_rules();
        let (groups, announcers) = (Groups::default(), AnnouncementTasks::default());
        let join = |name: &str| {
            let outbox = Outbox::new(&Limits::default(), namespace.totals());
            let socket =
                WebSocket::new(outbox, Peer::default(), Tag::default(), namespace.registry());
            let info = describe(&socket.id().to_string(), &json!({ "name": name })).unwrap();
            let listing = Listing { user: None, info };
            groups.add("lobby", &socket, Some(listing), 10).unwrap().1.announcement
        };
        announcers.stop();
        announcers.spawn(None, join("ann").unwrap());
        assert!(join("bob").is_none());
    }
}
