//! The connections of a server: rooms, users, and sending to many.

mod announce;
mod errand;
mod group;
mod live;
mod membership;
mod presence;
#[cfg(test)]
mod races;
mod rules;
mod target;

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::runtime::Handle;

use self::announce::Announcers;
use self::group::Groups;
pub(crate) use self::live::Candidate;
use self::live::Live;
pub(crate) use self::rules::{RoomCheck, Rules, room_check};
pub use self::target::{Delivery, Target};
use crate::close::CloseCode;
use crate::error::Result;
use crate::id::ConnectionId;
use crate::outbox::Totals;
use crate::websocket::{Aim, Registry, WebSocket};

/// All connections of a server: sends to rooms, users and everybody. Cheap to clone, usable from any
/// task.
///
/// Handlers take it as an argument; elsewhere [`ServerHandle::hub`](crate::ServerHandle::hub) has it.
///
/// ```
/// use aiows::{Hub, Message, Result, WebSocket, message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Deserialize, Serialize)]
/// struct Say {
///     room: String,
///     text: String,
/// }
///
/// #[message("say")]
/// async fn say(ws: WebSocket, say: Say) -> Result {
///     ws.join(&say.room).await?;
///     ws.to(&say.room).send(&say).await?;
///     Ok(())
/// }
///
/// #[message("shout")]
/// async fn shout(hub: Hub, say: Say) -> Result {
///     let delivery = hub.all().send(&say).await?;
///     println!("{} peers hear it", delivery.accepted);
///     Ok(())
/// }
/// ```
#[derive(Clone, Default)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    live: Live,
    rooms: Groups,
    users: Groups,
    announcers: Announcers,
    /// Each has one member.
    names: Groups,
    /// What was sent to all of them.
    totals: Arc<Totals>,
    /// That of the sessions: who publishes or leaves may be on a thread that has none, or one that
    /// stands still.
    runtime: OnceLock<Handle>,
    /// Set when the server is built.
    rules: OnceLock<Rules>,
}

impl Hub {
    /// Aims at every connection.
    pub fn all(&self) -> Target {
        self.aim(Aim::All)
    }

    /// Aims at the members of a room.
    pub fn room(&self, room: impl AsRef<str>) -> Target {
        self.rooms([room])
    }

    /// Aims at the members of several rooms; who is in two of them gets one copy.
    pub fn rooms<N: AsRef<str>>(&self, rooms: impl IntoIterator<Item = N>) -> Target {
        self.aim(Aim::Rooms(names(rooms)))
    }

    /// Aims at the connections of a user; see [`WebSocket::set_user`].
    pub fn user(&self, user: impl AsRef<str>) -> Target {
        self.users([user])
    }

    /// Aims at the connections of several users.
    pub fn users<N: AsRef<str>>(&self, users: impl IntoIterator<Item = N>) -> Target {
        self.aim(Aim::Users(names(users)))
    }

    /// Aims at one connection.
    pub fn connection(&self, id: ConnectionId) -> Target {
        self.aim(Aim::Connection(id))
    }

    /// Returns the handle on a connection, if it is open.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        self.shared.live.get(id)
    }

    /// Returns the handle on the connection of a name; see [`WebSocket::set_name`].
    #[must_use]
    pub fn named(&self, name: impl AsRef<str>) -> Option<WebSocket> {
        self.shared.names.members(name.as_ref()).first().cloned()
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shared.live.active()
    }

    /// Returns how many members a room has.
    #[must_use]
    pub fn room_size(&self, room: impl AsRef<str>) -> usize {
        self.shared.rooms.size(room.as_ref())
    }

    /// Lists the members of a room, in no order.
    #[must_use]
    pub fn members(&self, room: impl AsRef<str>) -> Vec<WebSocket> {
        self.shared.rooms.members(room.as_ref()).to_vec()
    }

    /// Lists what is said about the members of a room that joined with
    /// [`WebSocket::join_as`], in no order: objects as in `room.members`.
    #[must_use]
    pub fn member_infos(&self, room: impl AsRef<str>) -> Vec<Value> {
        let infos = self.shared.rooms.infos(room.as_ref());
        infos.iter().filter_map(|info| serde_json::from_str(info.get()).ok()).collect()
    }

    /// Lists the rooms that have members, in no order.
    #[must_use]
    pub fn room_names(&self) -> Vec<String> {
        self.shared.rooms.names()
    }

    /// Lists the connections of a user, in no order.
    #[must_use]
    pub fn connections_of(&self, user: impl AsRef<str>) -> Vec<WebSocket> {
        self.shared.users.members(user.as_ref()).to_vec()
    }

    /// Lists the users that have connections, in no order.
    #[must_use]
    pub fn user_names(&self) -> Vec<String> {
        self.shared.users.names()
    }

    /// Closes a connection as [`WebSocket::close`] does; `false` when it is not open.
    pub fn disconnect(
        &self,
        id: ConnectionId,
        code: impl Into<CloseCode>,
        reason: impl AsRef<str>,
    ) -> bool {
        let socket = self.get(id);
        socket.map(|socket| socket.close(code, reason)).is_some()
    }

    /// Closes every connection of a user, and returns how many there were.
    pub fn disconnect_user(
        &self,
        user: impl AsRef<str>,
        code: impl Into<CloseCode>,
        reason: impl AsRef<str>,
    ) -> usize {
        let (code, reason) = (code.into(), reason.as_ref());
        let sockets = self.shared.users.members(user.as_ref());
        sockets.iter().for_each(|socket| socket.close(code, reason));
        sockets.len()
    }

    fn aim(&self, aim: Aim) -> Target {
        Target::new(self.registry(), aim)
    }

    /// What the connections of this server belong to.
    pub(crate) fn registry(&self) -> Arc<dyn Registry> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// Asks whether a connection that is not yet accepted may join a room.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::join`].
    pub(crate) async fn allow(&self, room: &str, socket: &WebSocket) -> Result {
        self.shared.rules().allow(room, socket).await
    }

    /// Adds a connection to a room that it was allowed to join.
    ///
    /// # Errors
    ///
    /// `too_many_rooms`, `room_full`.
    pub(crate) fn add(&self, socket: &WebSocket, room: &str) -> Result {
        self.shared.add(socket, room, None)
    }

    pub(crate) fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.shared.totals)
    }

    /// Sets what holds for rooms; the first call counts.
    pub(crate) fn set_rules(&self, rules: Rules) {
        let _ = self.shared.rules.set(rules);
    }
}

impl Shared {
    /// Notes the runtime of the caller, a session's, if it is the first.
    fn note_runtime(&self) {
        if self.runtime.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            let _ = self.runtime.set(runtime);
        }
    }

    fn rules(&self) -> &Rules {
        self.rules.get_or_init(Rules::default)
    }
}

fn names<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Vec<String> {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("size", &self.live.active()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("size", &self.size()).finish_non_exhaustive()
    }
}
