//! The interface through which a handle reaches rooms, users and other connections.
//!
//! The hub implements [`Registry`]. The handle knows only the trait, so this folder does not import
//! the hub.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::WebSocket;
use super::changes::{Departure, Joined, Left, UserChange};
use super::room_list::Rooms;
use crate::error::{Result, SendError};
use crate::id::ConnectionId;

/// A snapshot of some connections, shared by every sender that uses it.
pub(crate) type Members = Arc<[WebSocket]>;

/// The JSON object with which a member is announced in a room.
pub(crate) type Info = Arc<RawValue>;

/// The entry of a member in the list of a room.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The user that the entry stands for, with all connections that joined as this user.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) info: Info,
}

/// The side that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The client has left or does not answer any more. It may come back.
    Client,
    Server,
}

pub(crate) type Joining<'a> = Pin<Box<dyn Future<Output = Result<Joined>> + Send + 'a>>;

/// Selects the recipients of a message.
#[derive(Debug)]
pub(crate) enum Selector {
    All,
    Rooms(Vec<String>),
    /// The members of a room. If there is a sender, it must be one of them.
    Room {
        name: String,
        sender: Option<WebSocket>,
    },
    Users(Vec<String>),
    Connection(ConnectionId),
}

/// Finds connections.
pub(crate) trait Directory: fmt::Debug + Send + Sync {
    /// Finds each connection once.
    fn find(&self, selector: &Selector) -> std::result::Result<Found, SendError>;

    /// The directory of the whole server.
    fn everywhere(self: Arc<Self>) -> Arc<dyn Directory>;
}

/// The recipients of a message.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) members: Members,
    /// The runtime of the sessions, once there has been one. Queues are flushed there.
    pub(crate) runtime: Option<Handle>,
}

/// The rooms, users and names of the connections of one namespace.
pub(crate) trait Registry: Directory {
    /// The name of the namespace.
    fn namespace(&self) -> &str;

    /// Joins a room; if there is a listing, the member is announced.
    fn join<'a>(
        &'a self,
        socket: &'a WebSocket,
        room: &'a str,
        listing: Option<Listing>,
    ) -> Joining<'a>;

    fn leave(&self, socket: &WebSocket, room: &str) -> Left;

    fn set_user(&self, socket: &WebSocket, user: Option<&str>) -> Result<UserChange>;

    fn set_name(&self, socket: &WebSocket, name: &str) -> Result;

    /// Removes a connection from its rooms, its user and its name. Its handlers still see them as
    /// far as its standing allows.
    fn depart(&self, socket: &WebSocket, standing: Standing, by: EndedBy);
}

/// The rooms, the user and the name of a connection. Its lock is held while other indexes of them
/// change.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// The rooms it is in, or was in when it ended.
    pub(crate) rooms: Rooms,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) standing: Standing,
    /// Whether it was the last connection of its user when it ended.
    pub(crate) was_last_of_user: bool,
}

/// Every connection has one, idle ones included.
const _: () = assert!(size_of::<Membership>() <= 64);

/// The rights of a connection's handlers in its rooms. The standing only ever moves down this list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Handlers may join, leave and send to rooms.
    #[default]
    Member,
    /// The client has left, and the connection is in no room any more. Handlers of earlier messages
    /// may still send to the rooms it was in.
    Leaving,
    /// The server closes the connection. Its handlers see no rooms.
    Closed,
    /// The disconnect handlers run, and may still send to the rooms it was in.
    Disconnecting,
    /// The disconnect handlers have returned. A handle that is still held belongs to no room or
    /// user.
    Disconnected,
}

impl Membership {
    pub(crate) fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// Whether handlers see the rooms and the user of the connection, or the ones it had when it
    /// ended.
    pub(crate) fn is_visible(&self) -> bool {
        !matches!(self.standing, Standing::Closed | Standing::Disconnected)
    }

    /// # Errors
    ///
    /// `NotMember` if the connection is not in the room and was not when it ended; `Closed` if the
    /// server has closed it or its disconnect handlers have returned.
    pub(crate) fn may_send_to(&self, room: &str) -> std::result::Result<(), SendError> {
        match self.is_visible() {
            false => Err(SendError::Closed),
            true if self.rooms.has(room) => Ok(()),
            true => Err(SendError::NotMember),
        }
    }

    /// Clears the user that the connection had when it ended.
    pub(crate) fn forget_user(&mut self) -> UserChange {
        let was_last = std::mem::take(&mut self.was_last_of_user);
        UserChange { is_first: false, ended: self.user.take().filter(|_| was_last) }
    }

    pub(crate) fn departure(&self) -> Departure {
        self.rooms.departure(self.was_last_of_user)
    }
}
