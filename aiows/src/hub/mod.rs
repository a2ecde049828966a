//! The connections of a server: rooms, users, and sending to many.

mod announce;
mod errand;
mod group;
mod handle;
mod late;
mod list;
mod live;
mod membership;
mod presence;
#[cfg(test)]
mod races;
mod rules;
mod tabs;
mod target;
mod tell;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tokio::runtime::Handle;

use self::announce::Announcers;
use self::group::Groups;
use self::live::Live;
pub(crate) use self::live::{Candidate, Registration};
pub(crate) use self::rules::{RoomCheck, Rules, room_check};
pub use self::target::{Delivery, Target};
use crate::close::CloseCode;
use crate::error::{Result, SendError};
use crate::id::ConnectionId;
use crate::outbox::Totals;
use crate::websocket::{Aim, Registry, WebSocket};

/// All connections of a server: sends to rooms, users and everybody. Cheap to clone, usable from any
/// task.
///
/// Handlers take it as an argument; elsewhere [`ServerHandle::hub`](crate::ServerHandle::hub) has it. You
/// may use it before the server is built: nobody is connected then, so what you send reaches nobody.
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
    /// The runtime of the session that began last. A publisher or a leaving connection may be on a
    /// thread without a runtime, or in one that is not driven.
    runtime: Mutex<Option<Handle>>,
    /// Set by the build of the server and by nothing else. Until then nobody can be connected, so
    /// nothing is sent or joined.
    rules: OnceLock<Rules>,
}

/// The rules of this hub were set before, so others cannot take effect.
#[derive(Debug)]
pub(crate) struct AlreadyBuilt;

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
    /// [`WebSocket::join_as`] or [`join_as_user`](WebSocket::join_as_user), in no order: objects as in
    /// `room.members`. Users that may still come back are among them.
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
        self.shared.rules()?.allow(room, socket).await
    }

    /// The runtime of the session that began last.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.shared.runtime()
    }

    pub(crate) fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.shared.totals)
    }

    /// Sets the rules of the server that this hub belongs to.
    ///
    /// # Errors
    ///
    /// `AlreadyBuilt` if the hub has rules.
    pub(crate) fn set_rules(&self, rules: Rules) -> std::result::Result<(), AlreadyBuilt> {
        self.shared.rules.set(rules).map_err(|_| AlreadyBuilt)
    }

    /// Makes the hub of a server with default limits and no other rules.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn with_default_rules() -> Self {
        let hub = Self::default();
        hub.shared.rules.get_or_init(Rules::default);
        hub
    }
}

impl Shared {
    /// Notes the runtime of the caller, a session. The latest counts: an earlier one may have ended
    /// since, and what is spawned there never runs.
    fn note_runtime(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let _before = self.lock_runtime().replace(runtime);
    }

    fn runtime(&self) -> Option<Handle> {
        self.lock_runtime().clone()
    }

    fn lock_runtime(&self) -> MutexGuard<'_, Option<Handle>> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    ///
    /// `Closed` before the build: a connection of a server that does not exist yet joins nothing.
    fn rules(&self) -> std::result::Result<&Rules, SendError> {
        self.rules.get().ok_or(SendError::Closed)
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
