//! Tells the members of a room who has come and gone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::group::Gathering;
use super::presence::Changes;
use super::target::{CHUNK, Forms, Late};
use crate::codec::{self, Tag};
use crate::error::SendError;
use crate::outbox::{Attempts, Published, SharedFrame};
use crate::transport::Opcode;
use crate::websocket::{Info, Members, WebSocket};

const JOINED: &str = "room.joined";
const LEFT: &str = "room.left";
const MEMBERS: &str = "room.members";

/// How long the changes of a room are gathered, so that a crowd that comes at once costs each
/// member one message.
const GATHER: Duration = Duration::from_millis(50);

/// The tasks that wait for the end of a gathering: at most one for each room.
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

    pub(super) fn start(&self, runtime: Option<&Handle>, gathering: Gathering) {
        let runtime = runtime.cloned().or_else(|| Handle::try_current().ok());
        let mut tasks = self.lock();
        let Some(runtime) = runtime.filter(|_| !tasks.is_over) else {
            return;
        };
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

/// Runs until a room has not changed for the length of a gathering: announcements do not overtake
/// one another.
async fn announce(mut gathering: Gathering) {
    loop {
        sleep(GATHER).await;
        let Some((members, changes)) = gathering.changes() else {
            return;
        };
        if let Err(error) = tell(gathering.room(), &members, &changes).await {
            tracing::error!(room = gathering.room(), %error, "a room was not told of its members");
        }
    }
}

/// Newcomers get the whole list, everybody else what has changed.
async fn tell(room: &str, members: &Members, changes: &Changes) -> Result<(), SendError> {
    let mut listed = Forms::new(|tag: &Tag| frame(tag, MEMBERS, room, &changes.listed));
    let mut left = Forms::new(|tag: &Tag| frame(tag, LEFT, room, &changes.left));
    let mut joined = Forms::new(|tag: &Tag| frame(tag, JOINED, room, &changes.joined));
    let mut late = Late::default();
    for (number, chunk) in members.chunks(CHUNK).enumerate() {
        if number > 0 {
            yield_now().await;
        }
        for socket in chunk {
            if changes.newcomers.contains(&socket.id()) {
                say(socket, listed.of(socket.tag())?, None, &mut late);
                continue;
            }
            let mut busy = None;
            if !changes.left.is_empty() {
                busy = say(socket, left.of(socket.tag())?, None, &mut late);
            }
            if !changes.joined.is_empty() {
                say(socket, joined.of(socket.tag())?, busy, &mut late);
            }
        }
    }
    late.publish().await;
    Ok(())
}

/// Publishes a frame, or adds it to the late ones: always if the one before it is `busy`, which it
/// must not overtake.
fn say<'a>(
    socket: &'a WebSocket,
    frame: &SharedFrame,
    busy: Option<Attempts>,
    late: &mut Late<'a>,
) -> Option<Attempts> {
    let published = busy.map_or_else(|| socket.outbox().publish(frame), Published::Busy);
    match published {
        Published::Promised => socket.outbox().keep_promise(),
        Published::Busy(since) => {
            late.add(socket, frame, since);
            return Some(since);
        }
        Published::Queued | Published::Refused => {}
    }
    None
}

fn frame(tag: &Tag, kind: &str, room: &str, infos: &[Info]) -> Result<SharedFrame, SendError> {
    #[derive(Serialize)]
    struct Announcement<'a> {
        room: &'a str,
        members: Vec<&'a RawValue>,
    }
    let members = infos.iter().map(|info| &**info).collect();
    let encoded = codec::encode(tag, kind, None, &Announcement { room, members });
    Ok(SharedFrame::new(Opcode::Text, encoded.map_err(SendError::Encode)?))
}
