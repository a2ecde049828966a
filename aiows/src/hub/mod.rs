//! The connections of a server: namespaces, rooms, users, and sending to many.

mod announce;
mod delivery;
mod flush_task;
mod group;
mod late;
mod list;
mod live;
mod membership;
mod namespace;
mod presence;
mod recipients;
mod registration;
mod rules;
mod runtime;
mod server;
mod tabs;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::slice;
use std::sync::Arc;

use serde_json::Value;

pub use self::delivery::Delivery;
pub(crate) use self::namespace::Namespace;
use self::namespace::Namespaces;
pub use self::recipients::Recipients;
pub(crate) use self::registration::{PendingMember, Registration};
pub(crate) use self::rules::{RoomCheck, Rules, room_check};
use crate::close::CloseCode;
use crate::id::ConnectionId;
use crate::websocket::{Directory, Selector, WebSocket};
#[doc(no_inline)]
pub use crate::websocket::{Joined, Left, UserChange};

/// The name of the namespace of a router that is bound to no path.
pub(crate) const ROOT: &str = "root";

/// Connections of a server: sends to rooms, users and everybody. Cheap to clone, usable from any task.
///
/// Handlers take it as an argument, and get that of their namespace: each
/// [`Server::route`](crate::Server::route) has rooms of its own, unless
/// [`Router::namespace`](crate::Router::namespace) puts several together. What the hub of a namespace does
/// stays in it, except that users and connections are known to the whole server:
///
/// | | in the hub of a namespace |
/// |---|---|
/// | `all`, `room`, `rooms`, `user`, `users` | reach connections of the namespace; [`Recipients::everywhere`] those of the server |
/// | `size`, `room_size`, `members`, `member_infos`, `room_names`, `named` | see the namespace |
/// | `connection`, `get`, `disconnect` | find connections of the server |
/// | `connections_of`, `user_names`, `disconnect_user` | see connections of the server |
///
/// Elsewhere [`ServerHandle::hub`](crate::ServerHandle::hub) has the hub of the server. If the server has
/// one namespace, it is that of the namespace. If it has several, it reaches and counts the
/// connections of all; a send to a room is [`SendError::NoNamespace`](crate::SendError::NoNamespace), so you choose one with
/// [`namespace`](Self::namespace) first. You may take this hub before the server is built: nobody is
/// connected then, so what you send reaches nobody.
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
    server: Arc<Namespaces>,
    /// The one it speaks for; all of them if there is none.
    own: Option<Arc<Namespace>>,
}

impl Hub {
    /// Returns the hub of a namespace, by the name that [`Router::namespace`](crate::Router::namespace) or
    /// the path of [`Server::route`](crate::Server::route) gives it; `root` is that of
    /// [`Server::include_router`](crate::Server::include_router).
    ///
    /// `None` if the server has no such namespace, and before it is built.
    ///
    /// ```
    /// use aiows::testing::TestServer;
    /// use aiows::{Router, Server};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> aiows::Result {
    /// let server = Server::new()
    ///     .route("/chat/{room}", Router::new())
    ///     .route("/game/{table}", Router::new().namespace("play"))
    ///     .route("/watch/{table}", Router::new().namespace("play"));
    /// let server = TestServer::new(server);
    /// let hub = server.handle().hub();
    /// for name in ["/chat/{room}", "play"] {
    ///     let hub = hub.namespace(name).ok_or("the server has this namespace")?;
    ///     hub.room("red").send_text("hello").await?;
    /// }
    /// assert!(hub.namespace("/game/{table}").is_none());
    /// assert!(hub.room("red").send_text("whose room?").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn namespace(&self, name: impl AsRef<str>) -> Option<Self> {
        self.server.named(name.as_ref()).map(|namespace| self.of(namespace))
    }

    /// Aims at every connection.
    pub fn all(&self) -> Recipients {
        self.selector(Selector::All)
    }

    /// Aims at the members of a room.
    pub fn room(&self, room: impl AsRef<str>) -> Recipients {
        self.rooms([room])
    }

    /// Aims at the members of several rooms; who is in two of them gets one copy.
    pub fn rooms<N: AsRef<str>>(&self, rooms: impl IntoIterator<Item = N>) -> Recipients {
        self.selector(Selector::Rooms(names(rooms)))
    }

    /// Aims at the connections of a user; see [`WebSocket::set_user`].
    ///
    /// The hub of a namespace reaches those in it; with [`Recipients::everywhere`] it reaches all.
    pub fn user(&self, user: impl AsRef<str>) -> Recipients {
        self.users([user])
    }

    /// Aims at the connections of several users.
    pub fn users<N: AsRef<str>>(&self, users: impl IntoIterator<Item = N>) -> Recipients {
        self.selector(Selector::Users(names(users)))
    }

    /// Aims at one connection of the server.
    pub fn connection(&self, id: ConnectionId) -> Recipients {
        Recipients::new(Arc::<Namespaces>::clone(&self.server), Selector::Connection(id))
    }

    /// Returns the handle on a connection of the server, if it is open.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        self.server.get(id)
    }

    /// Returns the handle on the connection of a name; see [`WebSocket::set_name`].
    ///
    /// Names are unique within a namespace. The hub of a server returns a connection if exactly one
    /// namespace has the name.
    #[must_use]
    pub fn named(&self, name: impl AsRef<str>) -> Option<WebSocket> {
        let name = name.as_ref();
        let mut found =
            self.namespaces().iter().filter_map(|it| it.names.members(name).first().cloned());
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn size(&self) -> usize {
        self.namespaces().iter().map(|it| it.live.active()).sum()
    }

    /// Returns how many members a room has; that of the server adds up the rooms of this name.
    #[must_use]
    pub fn room_size(&self, room: impl AsRef<str>) -> usize {
        self.namespaces().iter().map(|it| it.rooms.size(room.as_ref())).sum()
    }

    /// Lists the members of a room, in no order; that of the server has those of every room of this
    /// name, and [`WebSocket::namespace`] says which.
    #[must_use]
    pub fn members(&self, room: impl AsRef<str>) -> Vec<WebSocket> {
        let mut members = Vec::new();
        for namespace in self.namespaces() {
            members.extend_from_slice(&namespace.rooms.members(room.as_ref()));
        }
        members
    }

    /// Lists what is said about the members of a room that joined with
    /// [`WebSocket::join_as`] or [`join_as_user`](WebSocket::join_as_user), in no order: objects as in
    /// `room.members`. Users that may still come back are among them.
    #[must_use]
    pub fn member_infos(&self, room: impl AsRef<str>) -> Vec<Value> {
        let infos = self.namespaces().iter().flat_map(|it| it.rooms.infos(room.as_ref()));
        infos.filter_map(|info| serde_json::from_str(info.get()).ok()).collect()
    }

    /// Lists the rooms that have members, each name once, in no order.
    #[must_use]
    pub fn room_names(&self) -> Vec<String> {
        match self.namespaces() {
            [only] => only.rooms.names(),
            all => {
                let names: HashSet<_> = all.iter().flat_map(|it| it.rooms.names()).collect();
                names.into_iter().collect()
            }
        }
    }

    /// Lists the connections of a user on the server, in no order.
    #[must_use]
    pub fn connections_of(&self, user: impl AsRef<str>) -> Vec<WebSocket> {
        self.server.users.members(user.as_ref()).to_vec()
    }

    /// Lists the users that have connections to the server, in no order.
    #[must_use]
    pub fn user_names(&self) -> Vec<String> {
        self.server.users.names()
    }

    /// Closes a connection of the server as [`WebSocket::close`] does; `false` when it is not open.
    pub fn disconnect(
        &self,
        id: ConnectionId,
        code: impl Into<CloseCode>,
        reason: impl AsRef<str>,
    ) -> bool {
        let socket = self.get(id);
        socket.map(|socket| socket.close(code, reason)).is_some()
    }

    /// Closes every connection of a user to the server, and returns how many there were.
    pub fn disconnect_user(
        &self,
        user: impl AsRef<str>,
        code: impl Into<CloseCode>,
        reason: impl AsRef<str>,
    ) -> usize {
        let (code, reason) = (code.into(), reason.as_ref());
        let sockets = self.server.users.members(user.as_ref());
        sockets.iter().for_each(|socket| socket.close(code, reason));
        sockets.len()
    }

    fn selector(&self, selector: Selector) -> Recipients {
        let directory: Arc<dyn Directory> = match self.namespaces() {
            [only] => Arc::<Namespace>::clone(only),
            // Before the build there is none, and may be one when something is sent.
            _ => Arc::<Namespaces>::clone(&self.server),
        };
        Recipients::new(directory, selector)
    }

    fn namespaces(&self) -> &[Arc<Namespace>] {
        self.own.as_ref().map_or_else(|| self.server.list(), slice::from_ref)
    }
}

fn names<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Vec<String> {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect()
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("size", &self.size()).finish_non_exhaustive()
    }
}
