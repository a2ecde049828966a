//! Tells the members of a room who has come and gone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use super::group::{Next, PendingAnnouncement};
use super::presence::Wait;
use super::tell::Teller;

/// How long the changes of a room are gathered, so that a crowd that comes at once costs each
/// member one message.
const GATHER: Duration = Duration::from_millis(50);

/// The tasks that wait for the end of a gathering, or for users that may come back: at most one of
/// each kind for each room.
#[derive(Debug, Default)]
pub(super) struct Announcers {
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    running: JoinSet<()>,
    /// The server stops, and tells no more.
    is_over: bool,
}

impl Announcers {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn start(&self, runtime: Option<&Handle>, gathering: PendingAnnouncement) {
        let runtime = runtime.cloned().or_else(|| Handle::try_current().ok());
        let mut tasks = self.lock();
        if tasks.is_over {
            drop(tasks);
            return gathering.forget();
        }
        let Some(runtime) = runtime else { return };
        // What has finished gives back its place.
        while tasks.running.try_join_next().is_some() {}
        tasks.running.spawn_on(announce(gathering), &runtime);
    }

    /// Ends what is running, and lets nothing begin.
    pub(super) fn end(&self) {
        let running = {
            let mut tasks = self.lock();
            tasks.is_over = true;
            std::mem::take(&mut tasks.running)
        };
        // Outside of the lock: a task may hold the last handle on a connection.
        drop(running);
    }
}

/// Runs until a room has not changed for the length of a gathering, and all members have its list:
/// announcements do not overtake one another.
async fn announce(mut gathering: PendingAnnouncement) {
    let mut teller = Teller::default();
    loop {
        sleep(GATHER).await;
        match gathering.next(|id| teller.progress(id)) {
            Next::Tell(members, changes) => {
                let told = teller.tell(gathering.room(), &members, changes).await;
                gathering.note(&told.caught_up, told.missed);
            }
            Next::Wait(Wait { until, mut over }) => {
                // Nobody reads a list any more. Another gathering may begin meanwhile.
                teller = Teller::default();
                if timeout_at(until, &mut over).await.is_ok() || !gathering.resume(&mut over) {
                    return;
                }
            }
            Next::End => return,
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
    fn after_the_end_a_change_of_a_room_begins_no_other_gathering() {
        let (_, namespace) = Hub::with_default_rules();
        let (groups, announcers) = (Groups::default(), Announcers::default());
        let join = |name: &str| {
            let outbox = Outbox::new(&Limits::default(), namespace.totals());
            let socket =
                WebSocket::new(outbox, Peer::default(), Tag::default(), namespace.registry());
            let info = describe(&socket.id().to_string(), &json!({ "name": name })).unwrap();
            let listing = Listing { user: None, info };
            groups.add("lobby", &socket, Some(listing), 10).unwrap().1.gathering
        };
        announcers.end();
        announcers.start(None, join("ann").unwrap());
        assert!(join("bob").is_none());
    }
}
