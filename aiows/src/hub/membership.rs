//! What a connection does with rooms, and who its user is.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Shared, Target};
use crate::error::{HandlerError, Result, SendError, code};
use crate::websocket::{Aim, Joining, Members, Registry, WebSocket};

impl Registry for Shared {
    fn join<'a>(&'a self, socket: &'a WebSocket, room: &'a str) -> Joining<'a> {
        Box::pin(async move {
            self.rules().allow(room, socket).await?;
            self.add(socket, room)
        })
    }

    fn leave(&self, socket: &WebSocket, room: &str) -> bool {
        let mut membership = socket.membership();
        let Some(at) = membership.rooms.iter().position(|joined| **joined == *room) else {
            return false;
        };
        // What has ended is kept for the disconnect handlers, and nowhere else.
        if membership.is_over {
            return false;
        }
        membership.rooms.remove(at);
        self.rooms.remove(room, socket.id());
        true
    }

    fn set_user(&self, socket: &WebSocket, user: Option<&str>) {
        let mut membership = socket.membership();
        if membership.user.as_deref() == user || membership.is_over {
            return;
        }
        if let Some(before) = membership.user.take() {
            self.users.remove(&before, socket.id());
        }
        // A user has any number of connections.
        membership.user = user.and_then(|user| self.users.add(user, socket, usize::MAX).ok());
    }

    fn find(&self, aim: &Aim) -> std::result::Result<Members, SendError> {
        Ok(match aim {
            Aim::All if self.rules().needs_room => return Err(SendError::NoRoom),
            Aim::All => self.live.all(),
            Aim::Rooms(names) => union(names, |name| self.rooms.members(name)),
            Aim::Users(names) => union(names, |name| self.users.members(name)),
            Aim::Connection(id) => self.live.get(*id).into_iter().collect(),
        })
    }

    fn write_soon(&self, members: &Members, range: Range<usize>) {
        self.errands.start(members, range);
    }
}

/// The members of all groups, each once.
fn union(names: &[String], members: impl Fn(&str) -> Members) -> Members {
    if let [name] = names {
        return members(name);
    }
    let mut seen = HashSet::new();
    let groups: Vec<_> = names.iter().map(|name| members(name)).collect();
    let all = groups.iter().flat_map(|group| group.iter());
    all.filter(|socket| seen.insert(socket.id())).cloned().collect()
}

impl Shared {
    /// Adds a connection to a room that it may join.
    pub(super) fn add(&self, socket: &WebSocket, room: &str) -> Result {
        let limits = &self.rules().limits;
        let mut membership = socket.membership();
        if membership.is_over {
            return Err(SendError::Closed.into());
        }
        if membership.rooms.iter().any(|joined| **joined == *room) {
            return Ok(());
        }
        if membership.rooms.len() >= limits.rooms {
            return Err(HandlerError::new(code::TOO_MANY_ROOMS, "leave a room first")
                .with("max", limits.rooms));
        }
        match self.rooms.add(room, socket, limits.room_members) {
            Ok(name) => membership.rooms.push(name),
            Err(_) => {
                return Err(HandlerError::new(code::ROOM_FULL, "the room is full")
                    .with("max", limits.room_members));
            }
        }
        Ok(())
    }

    /// Takes a connection out of everything; its own list of rooms stays.
    pub(super) fn end_membership(&self, socket: &WebSocket) {
        let mut membership = socket.membership();
        membership.is_over = true;
        for room in &membership.rooms {
            self.rooms.remove(room, socket.id());
        }
        if let Some(user) = &membership.user {
            self.users.remove(user, socket.id());
        }
    }
}

impl WebSocket {
    /// Joins a room, which is there as long as it has members. Joining twice is joining once.
    ///
    /// # Errors
    ///
    /// Visible ones, so that `?` in a handler tells the peer: `invalid_room` for a name that is empty
    /// or longer than [`Limits::room_name_size`](crate::Limits::room_name_size), `too_many_rooms`,
    /// `room_full`, and what `Server::check_rooms` refuses with. A closed connection joins nothing.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has joined, or not; never half.
    pub async fn join(&self, room: impl AsRef<str>) -> Result {
        self.registry().join(self, room.as_ref()).await
    }

    /// Leaves a room; `false` when the connection is not in it.
    pub fn leave(&self, room: impl AsRef<str>) -> bool {
        self.registry().leave(self, room.as_ref())
    }

    /// Lists the rooms the connection is in, in the order it joined; in a disconnect handler, those
    /// it was in.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.membership().rooms.iter().map(|room| room.as_ref().to_owned()).collect()
    }

    /// Tells whether the connection is in a room.
    #[must_use]
    pub fn is_in(&self, room: impl AsRef<str>) -> bool {
        self.membership().rooms.iter().any(|joined| **joined == *room.as_ref())
    }

    /// Says who is at the other end: [`Hub::user`] finds all connections of a user.
    ///
    /// A connection has one user at a time; the latest call counts.
    pub fn set_user(&self, user: impl AsRef<str>) {
        self.registry().set_user(self, Some(user.as_ref()));
    }

    /// Forgets who is at the other end.
    pub fn clear_user(&self) {
        self.registry().set_user(self, None);
    }

    /// Returns who is at the other end, once [`set_user`](Self::set_user) has said it.
    #[must_use]
    pub fn user(&self) -> Option<Arc<str>> {
        self.membership().user.clone()
    }

    /// Aims at everybody in a room but this connection, which need not be in it.
    pub fn to(&self, room: impl AsRef<str>) -> Target {
        let aim = Aim::Rooms(vec![room.as_ref().to_owned()]);
        Target::new(Arc::clone(self.registry()), aim).except(self.id())
    }
}
