//! Results of joining, leaving and ending: whether the connection was the first or the last one.

use std::sync::Arc;

/// The result of [`WebSocket::join`](crate::WebSocket::join).
///
/// It is determined together with the join. If connections join and leave at the same time, exactly
/// one of them is the first member of the room, and there is no other first member until one has
/// been the last. If your handler returns a `Joined`, no message is sent for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub(crate) is_new: bool,
    pub(crate) is_first: bool,
}

/// The result of [`WebSocket::leave`](crate::WebSocket::leave).
///
/// If your handler returns a `Left`, no message is sent for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub(crate) was_member: bool,
    pub(crate) is_last: bool,
}

/// The result of [`WebSocket::set_user`](crate::WebSocket::set_user) and
/// [`clear_user`](crate::WebSocket::clear_user).
///
/// It is determined together with the change. If connections of a user come and go at the same
/// time, exactly one of them is the first, and there is no other first one until one has been the
/// last. If your handler returns a `UserChange`, no message is sent for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    pub(crate) is_first: bool,
    pub(crate) ended: Option<Arc<str>>,
}

/// The effect that the end of a connection has on its rooms and its user. Disconnect handlers take
/// it as an argument.
///
/// Like [`Joined`] and [`UserChange`], it is determined when the connection leaves its rooms and
/// its user. Whatever other connections do in the meantime, each first one is followed by exactly
/// one last one. In a test, a `socket()` that is not closed has an empty departure.
///
/// If your connect handlers join rooms or set users, take it in a `#[disconnect(always)]` handler.
/// A connection that they refuse afterwards leaves its rooms as well, and `#[disconnect]` does not
/// run for it.
///
/// ```
/// use aiows::websocket::Departure;
/// use aiows::{WebSocket, disconnect};
///
/// #[disconnect(always)]
/// async fn left(ws: WebSocket, departure: Departure) {
///     if let Some(user) = ws.user().filter(|_| departure.is_last_of_user()) {
///         println!("{user} is offline");
///     }
///     for room in departure.last_in() {
///         println!("{room} is empty");
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    pub(crate) rooms: Vec<Arc<str>>,
    pub(crate) is_last_of_user: bool,
}

impl Joined {
    /// Returns whether the connection was not in the room before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns whether the room was empty, so that the connection is its first member.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.is_first
    }
}

impl Left {
    /// Returns whether the connection was in the room.
    #[must_use]
    pub fn was_member(&self) -> bool {
        self.was_member
    }

    /// Returns whether the room is empty now, so that the connection was its last member.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.is_last
    }
}

impl UserChange {
    /// Returns whether the user had no connection before, so that this one is the first.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Returns the previous user of the connection, if it was that user's last connection.
    #[must_use]
    pub fn last_of(&self) -> Option<&str> {
        self.ended.as_deref()
    }
}

impl Departure {
    /// Returns whether the connection was the last one of its user.
    #[must_use]
    pub fn is_last_of_user(&self) -> bool {
        self.is_last_of_user
    }

    /// Returns whether the connection was the last member of a room.
    #[must_use]
    pub fn is_last_in(&self, room: impl AsRef<str>) -> bool {
        self.rooms.iter().any(|left| **left == *room.as_ref())
    }

    /// Returns the rooms of which the connection was the last member.
    pub fn last_in(&self) -> impl Iterator<Item = &str> {
        self.rooms.iter().map(AsRef::as_ref)
    }
}
