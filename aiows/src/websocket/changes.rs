//! What a change of a connection's rooms or of its user was for everybody else.

use std::sync::Arc;

/// What a join has changed, as [`WebSocket::join`](crate::WebSocket::join) returns it.
///
/// It is decided together with the join: of any number of connections that join and leave at the same
/// time exactly one is the first member of the room, until one is the last. A handler that returns it
/// sends nothing for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub(crate) is_new: bool,
    pub(crate) is_first: bool,
}

/// What leaving a room has changed, as [`WebSocket::leave`](crate::WebSocket::leave) returns it.
///
/// A handler that returns it sends nothing for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub(crate) was_member: bool,
    pub(crate) is_last: bool,
}

/// What [`WebSocket::set_user`](crate::WebSocket::set_user) and
/// [`clear_user`](crate::WebSocket::clear_user) have changed.
///
/// It is decided together with the change: of any number of connections that come and go at the same
/// time exactly one is the first of its user, until one is the last. A handler that returns it sends
/// nothing for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    pub(crate) is_first: bool,
    pub(crate) ended: Option<Arc<str>>,
}

/// What the end of a connection has changed, an argument of disconnect handlers.
///
/// Like [`Joined`] and [`UserChange`] it is decided when the connection leaves its rooms and its user, so
/// that whatever others do meanwhile each first one is followed by one last one. Of a test's `socket()`
/// that is not closed it says that nothing has changed.
///
/// If connect handlers join rooms or set users, take it in a `#[disconnect(always)]` handler: a connection
/// that they refuse afterwards has left as well, and `#[disconnect]` does not run for it.
///
/// ```
/// use aiows::{Departure, WebSocket, disconnect};
///
/// #[disconnect(always)]
/// async fn left(ws: WebSocket, departure: Departure) {
///     if let Some(user) = ws.user().filter(|_| departure.is_last_of_user()) {
///         println!("{user} is offline");
///     }
///     for room in departure.last_in() {
///         println!("nobody is left in {room}");
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    pub(crate) rooms: Vec<Arc<str>>,
    pub(crate) is_last_of_user: bool,
}

impl Joined {
    /// Tells whether the connection was not in the room before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Tells whether the room was empty: the connection is its first member.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.is_first
    }
}

impl Left {
    /// Tells whether the connection was in the room.
    #[must_use]
    pub fn was_member(&self) -> bool {
        self.was_member
    }

    /// Tells whether the room is empty now: the connection was its last member.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.is_last
    }
}

impl UserChange {
    /// Tells whether the user had no connection: this one is the first.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Returns the user that the connection had before, if it was the last one of that user.
    #[must_use]
    pub fn last_of(&self) -> Option<&str> {
        self.ended.as_deref()
    }
}

impl Departure {
    /// Tells whether the connection was the last one of its user.
    #[must_use]
    pub fn is_last_of_user(&self) -> bool {
        self.is_last_of_user
    }

    /// Tells whether the connection was the last member of a room.
    #[must_use]
    pub fn is_last_in(&self, room: impl AsRef<str>) -> bool {
        self.rooms.iter().any(|left| **left == *room.as_ref())
    }

    /// Lists the rooms that the connection was the last member of.
    pub fn last_in(&self) -> impl Iterator<Item = &str> {
        self.rooms.iter().map(AsRef::as_ref)
    }
}
