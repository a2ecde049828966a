//! Changes of a connection's membership: its rooms, its user and its name.

use super::Namespace;
use super::group::Changed;
use super::listed_users::Grace;
use super::rules::is_name;
use crate::error::{HandlerError, Result, SendError, closing, code};
use crate::limits::deadline_after;
use crate::websocket::{
    EndedBy, Joined, Joining, Left, Listing, Membership, Registry, Standing, UserChange, WebSocket,
    no_user,
};

impl Registry for Namespace {
    fn namespace(&self) -> &str {
        self.name()
    }

    fn join<'a>(
        &'a self,
        socket: &'a WebSocket,
        room: &'a str,
        listing: Option<Listing>,
    ) -> Joining<'a> {
        Box::pin(async move {
            self.rules.allow(room, socket).await?;
            self.add(socket, room, listing)
        })
    }

    fn leave(&self, socket: &WebSocket, room: &str) -> Left {
        let changed = {
            let mut membership = socket.membership();
            if membership.standing == Standing::Leaving {
                return membership.rooms.forget(room);
            }
            // A connection that has ended keeps its rooms only for its disconnect handlers.
            if !membership.rooms.remove(room) {
                return Left::default();
            }
            self.rooms.remove(room, socket.id(), None)
        };
        let left = Left { was_member: true, is_last: changed.is_first_or_last };
        self.schedule_announcement(changed);
        left
    }

    fn set_user(&self, socket: &WebSocket, user: Option<&str>) -> Result<UserChange> {
        if let Some(user) = user {
            self.check_name(user, "this is not a valid user name")?;
        }
        // Dropped after the lock.
        let (_left, _added);
        let mut membership = socket.membership();
        if membership.standing == Standing::Leaving && user.is_none() {
            return Ok(membership.forget_user());
        }
        if !is_open_member(socket, &membership) {
            return Err(SendError::Closed.into());
        }
        if membership.user.as_deref() == user {
            return Ok(UserChange::default());
        }
        let mut change = UserChange::default();
        let mut unlisted = Vec::new();
        _left = membership.user.take().map(|before| {
            let rooms = membership.rooms.joined().iter();
            unlisted.extend(rooms.map(|room| self.rooms.forget_user(room, socket.id())));
            let left = self.users.remove(&before, socket.id(), None);
            change.ended = left.is_first_or_last.then_some(before);
            left
        });
        // A user may have any number of connections, so this group is never full.
        let added = user.and_then(|user| self.users.add(user, socket, None, usize::MAX).ok());
        change.is_first = added.as_ref().is_some_and(|(_, added)| added.is_first_or_last);
        (membership.user, _added) = added.unzip();
        drop(membership);
        unlisted.into_iter().for_each(|changed| self.schedule_announcement(changed));
        Ok(change)
    }

    fn set_name(&self, socket: &WebSocket, name: &str) -> Result {
        self.check_name(name, "this is not a valid connection name")?;
        // Dropped after the lock.
        let (_left, _added);
        let mut membership = socket.membership();
        if !is_open_member(socket, &membership) {
            return Err(SendError::Closed.into());
        }
        if membership.name.as_deref() == Some(name) {
            return Ok(());
        }
        let taken = |_| HandlerError::new(code::NAME_TAKEN, "another connection has this name");
        let (name, added) = self.names.add(name, socket, None, 1).map_err(taken)?;
        _added = added;
        let before = membership.name.replace(name);
        _left = before.map(|before| self.names.remove(&before, socket.id(), None));
        Ok(())
    }

    fn depart(&self, socket: &WebSocket, standing: Standing, by: EndedBy) {
        let id = socket.id();
        let mut membership = socket.membership();
        let was_member = membership.is_member();
        membership.standing = membership.standing.max(standing);
        if !was_member {
            return;
        }
        let Membership { rooms, user, name, was_last_of_user, .. } = &mut *membership;
        let mut left = Vec::with_capacity(rooms.len());
        rooms.leave_all(|room| {
            let changed = self.rooms.remove(room, id, self.grace(by));
            let is_last = changed.is_first_or_last;
            left.push(changed);
            is_last
        });
        let user = user.as_ref().map(|user| self.users.remove(user, id, None));
        *was_last_of_user = user.as_ref().is_some_and(|user| user.is_first_or_last);
        let name = name.as_ref().map(|name| self.names.remove(name, id, None));
        // Retired under the lock: a connection without membership must not be found elsewhere
        // either.
        let _snapshot = self.connections.retire(id);
        drop(membership);
        left.into_iter()
            .chain(user)
            .chain(name)
            .for_each(|changed| self.schedule_announcement(changed));
    }
}

impl Namespace {
    /// Adds a connection to a room after the room check, and lists it there if there is a
    /// `listing`.
    pub(super) fn add(
        &self,
        socket: &WebSocket,
        room: &str,
        listing: Option<Listing>,
    ) -> Result<Joined> {
        let limits = &self.rules.limits;
        let info = listing.as_ref().map(|listing| listing.info.get());
        if info.is_some_and(|info| info.len() > limits.member_info_size) {
            return Err(HandlerError::new(
                code::MEMBER_TOO_LARGE,
                "the description of the member is too large",
            )
            .with("max_bytes", limits.member_info_size));
        }
        let mut membership = socket.membership();
        if !is_open_member(socket, &membership) {
            return Err(SendError::Closed.into());
        }
        let user = listing.as_ref().and_then(|listing| listing.user.as_ref());
        if user.is_some() && user != membership.user.as_ref() {
            // The user changed while the room check ran.
            return Err(no_user());
        }
        let is_in = membership.rooms.has(room);
        if is_in && listing.is_none() {
            return Ok(Joined::default());
        }
        if !is_in && membership.rooms.len() >= limits.rooms {
            return Err(HandlerError::new(
                code::TOO_MANY_ROOMS,
                "the connection is in too many rooms: leave one first",
            )
            .with("max", limits.rooms));
        }
        let Ok((name, changed)) = self.rooms.add(room, socket, listing, limits.room_members) else {
            return Err(HandlerError::new(code::ROOM_FULL, closing::ROOM_FULL.reason)
                .with("max", limits.room_members));
        };
        if !is_in {
            membership.rooms.push(name);
        }
        drop(membership);
        let joined = Joined { is_new: !is_in, is_first: changed.is_first_or_last };
        self.schedule_announcement(changed);
        Ok(joined)
    }

    /// Joins the room of the path, if there is one, after the connect handlers have succeeded. If
    /// the client has left by then, the room is only recorded, so that its earlier messages may
    /// still be sent there.
    pub(super) fn join_path_room(&self, socket: &WebSocket, room: Option<&str>) -> Result {
        let mut membership = socket.membership();
        if membership.standing == Standing::Leaving {
            if let Some(room) = room.filter(|room| !membership.rooms.has(room)) {
                membership.rooms.push(room.into());
            }
            return Ok(());
        }
        if !is_open_member(socket, &membership) {
            return Err(SendError::Closed.into());
        }
        drop(membership);
        room.map_or(Ok(()), |room| self.add(socket, room, None).map(|_| ()))
    }

    /// # Errors
    ///
    /// `invalid_name` if the name is empty, has only white space, has a control character or is too
    /// long.
    fn check_name(&self, name: &str, text: &'static str) -> Result {
        let max = self.rules.limits.name_size;
        if !is_name(name, max) {
            return Err(HandlerError::new(code::INVALID_NAME, text).with("max_bytes", max));
        }
        Ok(())
    }

    /// Returns the grace period of the user if this was its last connection.
    fn grace(&self, by: EndedBy) -> Option<Grace> {
        let limits = &self.rules.limits;
        let is_given = by == EndedBy::Client && !limits.presence_grace.is_zero();
        is_given.then(|| Grace {
            until: deadline_after(limits.presence_grace),
            max: limits.room_members,
        })
    }

    /// Schedules the announcement of a change. The caller must not hold a lock.
    fn schedule_announcement(&self, changed: Changed) {
        if let Some(announcement) = changed.announcement {
            self.announcements.spawn(self.latest.get().as_ref(), announcement);
        }
    }
}

/// Checked under the lock: a connection that closes later is removed by `depart`.
fn is_open_member(socket: &WebSocket, membership: &Membership) -> bool {
    membership.is_member() && !socket.is_closed()
}
