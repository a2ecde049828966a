//! Rooms, users and messages to many connections.
//!
//! A [`Hub`] finds the connections of a server and sends to many of them at once. [`Recipients`]
//! are the connections you send to, and a [`Delivery`] counts how many of them took the message.
//! Each route has a namespace with rooms and names of its own; users are known to the whole server.

// `Namespace` is the entry point for the rest of the crate. It has the `Connections` of one or more
// routes, and their rooms, users and names, each a `Group`. A room with listed members has a
// `Presence`, which collects changes; an announcement task takes them, and the `Announcer` sends
// them.
mod announcement_tasks; // the tasks that announce the changes of rooms
mod announcer; // sends changes and member lists to one room
mod busy; // publishes to recipients that cannot take a message at once
mod connections; // the connections of a namespace
mod delivery; // the result of a send
mod flush_task; // writes to the sockets of many recipients
mod group; // rooms, users and names: the members of each
mod listed_users; // the users listed in a room, and their connections
mod member_list; // member lists and changes as messages
mod membership; // joins and leaves rooms, sets users and names
mod namespace; // the namespaces of a server
mod presence; // the listed members of a room and the changes to announce
mod recipients; // resolves recipients and sends to them
mod registration; // a connection's registration, until it is dropped
mod rules; // the room check and valid names
mod runtime; // the runtime for the tasks of the hub
mod server; // operations that only the server uses
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

/// The namespace of the router without a path.
pub(crate) const ROOT: &str = "root";

/// Sends to rooms, users and all connections of a server.
///
/// A hub is cheap to clone, and you can use it from any task. A handler takes it as an argument and
/// gets the hub of its own namespace. Each [`Server::route`](crate::Server::route) has a namespace
/// with rooms of its own, unless you join several with
/// [`Router::namespace`](crate::Router::namespace). The methods of a namespace's hub are limited to
/// the namespace, except that users and connections are known to the whole server:
///
/// | method | scope, if the hub belongs to a namespace |
/// |---|---|
/// | `all`, `room`, `rooms`, `user`, `users` | the namespace; with [`Recipients::everywhere`] the server |
/// | `size`, `room_size`, `members`, `member_infos`, `room_names`, `named` | the namespace |
/// | `connection`, `get`, `disconnect` | the server |
/// | `connections_of`, `user_names`, `disconnect_user` | the server |
///
/// Outside of handlers you get the hub of the server from
/// [`ServerHandle::hub`](crate::ServerHandle::hub). If the server has one namespace, this hub
/// behaves like the hub of that namespace. If it has several, the hub reaches and counts the
/// connections of all of them, and a send to a room fails with
/// [`SendError::NoNamespace`](crate::error::SendError::NoNamespace): choose a
/// [`namespace`](Self::namespace) first. You may take this hub before the server is built. Until
/// then there are no connections, so a send reaches none.
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
///     println!("{} clients get it", delivery.accepted);
///     Ok(())
/// }
/// ```
#[derive(Clone, Default)]
pub struct Hub {
    /// All namespaces of the server.
    server: Arc<Namespaces>,
    /// The namespace of this hub; `None` for the hub of the server.
    own: Option<Arc<Namespace>>,
}

impl Hub {
    /// Returns the hub of the namespace with the given name.
    ///
    /// The name is set with [`Router::namespace`](crate::Router::namespace). Without it, it is the
    /// path as you pass it to [`Server::route`](crate::Server::route), or `root` for
    /// [`Server::include_router`](crate::Server::include_router).
    ///
    /// Returns `None` if the server has no such namespace or is not built yet.
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
    /// assert!(hub.room("red").send_text("hello").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn namespace(&self, name: impl AsRef<str>) -> Option<Self> {
        self.server.named(name.as_ref()).map(|namespace| self.of(namespace))
    }

    /// Selects every connection.
    pub fn all(&self) -> Recipients {
        self.selector(Selector::All)
    }

    /// Selects the members of a room.
    pub fn room(&self, room: impl AsRef<str>) -> Recipients {
        self.selector(Selector::Room { name: room.as_ref().to_owned(), sender: None })
    }

    /// Selects the members of several rooms. A connection in two of them gets one copy.
    pub fn rooms<N: AsRef<str>>(&self, rooms: impl IntoIterator<Item = N>) -> Recipients {
        self.selector(Selector::Rooms(names(rooms)))
    }

    /// Selects the connections of a user; see [`WebSocket::set_user`].
    ///
    /// The hub of a namespace selects the user's connections in that namespace. To reach all of
    /// them, add [`Recipients::everywhere`].
    pub fn user(&self, user: impl AsRef<str>) -> Recipients {
        self.users([user])
    }

    /// Selects the connections of several users.
    pub fn users<N: AsRef<str>>(&self, users: impl IntoIterator<Item = N>) -> Recipients {
        self.selector(Selector::Users(names(users)))
    }

    /// Selects one connection of the server.
    pub fn connection(&self, id: ConnectionId) -> Recipients {
        Recipients::new(Arc::<Namespaces>::clone(&self.server), Selector::Connection(id))
    }

    /// Returns a handle to a connection of the server, if it is open.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        self.server.get(id)
    }

    /// Returns a handle to the connection with the given name; see [`WebSocket::set_name`].
    ///
    /// Names are unique within a namespace. The hub of the server returns a connection if exactly
    /// one namespace has the name.
    #[must_use]
    pub fn named(&self, name: impl AsRef<str>) -> Option<WebSocket> {
        let name = name.as_ref();
        let mut found =
            self.namespaces().iter().filter_map(|it| it.names.members(name).first().cloned());
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn size(&self) -> usize {
        self.namespaces().iter().map(|it| it.connections.active()).sum()
    }

    /// Returns the number of members of a room.
    ///
    /// The hub of the server adds up the rooms of this name in all namespaces.
    #[must_use]
    pub fn room_size(&self, room: impl AsRef<str>) -> usize {
        self.namespaces().iter().map(|it| it.rooms.size(room.as_ref())).sum()
    }

    /// Returns the members of a room, in no particular order.
    ///
    /// The hub of the server returns the members of every room of this name;
    /// [`WebSocket::namespace`] distinguishes them.
    #[must_use]
    pub fn members(&self, room: impl AsRef<str>) -> Vec<WebSocket> {
        let mut members = Vec::new();
        for namespace in self.namespaces() {
            members.extend_from_slice(&namespace.rooms.members(room.as_ref()));
        }
        members
    }

    /// Returns the listed members of a room as JSON objects, in no particular order.
    ///
    /// Members are listed if they joined with [`WebSocket::join_as`] or
    /// [`join_as_user`](WebSocket::join_as_user). The objects are those in the `room.members`
    /// message. Users in their grace period
    /// ([`Limits::presence_grace`](crate::Limits::presence_grace)) are included.
    #[must_use]
    pub fn member_infos(&self, room: impl AsRef<str>) -> Vec<Value> {
        let infos = self.namespaces().iter().flat_map(|it| it.rooms.infos(room.as_ref()));
        infos.filter_map(|info| serde_json::from_str(info.get()).ok()).collect()
    }

    /// Returns the names of the rooms that have members, each name once, in no particular order.
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

    /// Returns the connections of a user on the whole server, in no particular order.
    #[must_use]
    pub fn connections_of(&self, user: impl AsRef<str>) -> Vec<WebSocket> {
        self.server.users.members(user.as_ref()).to_vec()
    }

    /// Returns the users that have connections to the server, in no particular order.
    #[must_use]
    pub fn user_names(&self) -> Vec<String> {
        self.server.users.names()
    }

    /// Closes a connection of the server as [`WebSocket::close`] does.
    ///
    /// Returns `false` if the connection is not open.
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
            // The hub of a server that is not built yet may be built before the message is sent.
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
