//! What keeps connections together, as one of them sees it.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::WebSocket;
use super::changes::{Departure, Joined, Left, UserChange};
use super::rooms::Rooms;
use crate::error::{Result, SendError};
use crate::id::ConnectionId;

/// Some connections at one moment; it is shared by everybody who sends to them then.
pub(crate) type Members = Arc<[WebSocket]>;

/// What a room is told about a member: an object in JSON.
pub(crate) type Info = Arc<RawValue>;

/// How a member is listed in a room.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The user that it stands for, with all connections that do.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) info: Info,
}

/// Who ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The client has left or answers no more. It may come back.
    Client,
    Server,
}

pub(crate) type Joining<'a> = Pin<Box<dyn Future<Output = Result<Joined>> + Send + 'a>>;

/// Whom something is sent to.
#[derive(Debug)]
pub(crate) enum Selector {
    All,
    Rooms(Vec<String>),
    /// The members of a room, for one of them that speaks.
    Room {
        name: String,
        speaker: WebSocket,
    },
    Users(Vec<String>),
    Connection(ConnectionId),
}

/// Finds connections, and has them written to.
pub(crate) trait Directory: fmt::Debug + Send + Sync {
    /// Finds each connection once.
    fn find(&self, selector: &Selector) -> std::result::Result<Members, SendError>;

    /// The directory of the whole server.
    fn everywhere(self: Arc<Self>) -> Arc<dyn Directory>;

    /// The runtime of the sessions, if there was one.
    fn runtime(&self) -> Option<Handle>;

    /// Does the flushes that were deferred for some members.
    fn write_soon(&self, members: &Members, range: Range<usize>);
}

/// Knows what the connections of one namespace belong to.
pub(crate) trait Registry: Directory {
    /// The name of the namespace.
    fn namespace(&self) -> &str;

    /// Joins a room; if the member is listed, its room is told.
    fn join<'a>(
        &'a self,
        socket: &'a WebSocket,
        room: &'a str,
        listing: Option<Listing>,
    ) -> Joining<'a>;

    fn leave(&self, socket: &WebSocket, room: &str) -> Left;

    fn set_user(&self, socket: &WebSocket, user: Option<&str>) -> Result<UserChange>;

    fn set_name(&self, socket: &WebSocket, name: &str) -> Result;

    /// Takes a connection out of everything. What it belonged to stays known to its handlers, as far as
    /// its standing says.
    fn depart(&self, socket: &WebSocket, standing: Standing, by: EndedBy);
}

/// What a connection belongs to. Everything else that knows of it is changed under its lock.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// What it belongs to, or did when it ended.
    pub(crate) rooms: Rooms,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) standing: Standing,
    /// It was the last connection of its user when it ended.
    pub(crate) was_last_of_user: bool,
}

/// Every connection has one, silent ones too.
const _: () = assert!(size_of::<Membership>() <= 64);

/// What a connection may do in its rooms, in the order in which that changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It joins, leaves and speaks.
    #[default]
    Member,
    /// Its client has left and it is in no room any more. Handlers of what the client sent before
    /// still speak in the rooms it was in.
    Leaving,
    /// It was sent away: its handlers have no rooms.
    SentAway,
    /// Its disconnect handlers run, and may say goodbye in the rooms it was in.
    Over,
    /// They have returned: whoever still has the handle belongs to nothing.
    Gone,
}

impl Membership {
    pub(crate) fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// Whether handlers see what the connection belongs to, or belonged to when it ended.
    pub(crate) fn is_seen(&self) -> bool {
        !matches!(self.standing, Standing::SentAway | Standing::Gone)
    }

    /// # Errors
    ///
    /// `NotMember` for a room that the connection is not in, nor was when it ended; `Closed` for one that
    /// was sent away, or whose disconnect handlers have returned.
    pub(crate) fn may_speak(&self, room: &str) -> std::result::Result<(), SendError> {
        match self.is_seen() {
            false => Err(SendError::Closed),
            true if self.rooms.has(room) => Ok(()),
            true => Err(SendError::NotMember),
        }
    }

    /// Forgets the user that the connection had when it ended.
    pub(crate) fn forget_user(&mut self) -> UserChange {
        let was_last = std::mem::take(&mut self.was_last_of_user);
        UserChange { is_first: false, ended: self.user.take().filter(|_| was_last) }
    }

    pub(crate) fn departure(&self) -> Departure {
        self.rooms.departure(self.was_last_of_user)
    }
}
