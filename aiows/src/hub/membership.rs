//! What a connection belongs to: its rooms, its user, its name.

use super::Namespace;
use super::group::Changed;
use super::rules::is_name;
use super::tabs::Grace;
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
            self.rules().allow(room, socket).await?;
            self.add(socket, room, listing)
        })
    }

    fn leave(&self, socket: &WebSocket, room: &str) -> Left {
        let changed = {
            let mut membership = socket.membership();
            if membership.standing == Standing::Leaving {
                return membership.rooms.forget(room);
            }
            // What has ended is kept for its disconnect handlers, and nowhere else.
            if !membership.rooms.remove(room) {
                return Left::default();
            }
            self.rooms.remove(room, socket.id(), None)
        };
        let left = Left { was_member: true, is_last: changed.is_edge };
        self.tell_later(changed);
        left
    }

    fn set_user(&self, socket: &WebSocket, user: Option<&str>) -> Result<UserChange> {
        if let Some(user) = user {
            self.check_name(user, "this is no name for a user")?;
        }
        // Dropped after the lock.
        let (_left, _added);
        let mut membership = socket.membership();
        if membership.standing == Standing::Leaving && user.is_none() {
            return Ok(membership.forget_user());
        }
        if !may_belong(socket, &membership) {
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
            change.ended = left.is_edge.then_some(before);
            left
        });
        // A user has any number of connections.
        let added = user.and_then(|user| self.users.add(user, socket, None, usize::MAX).ok());
        change.is_first = added.as_ref().is_some_and(|(_, added)| added.is_edge);
        (membership.user, _added) = added.unzip();
        drop(membership);
        unlisted.into_iter().for_each(|changed| self.tell_later(changed));
        Ok(change)
    }

    fn set_name(&self, socket: &WebSocket, name: &str) -> Result {
        self.check_name(name, "this is no name for a connection")?;
        // Dropped after the lock.
        let (_left, _added);
        let mut membership = socket.membership();
        if !may_belong(socket, &membership) {
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
            let is_last = changed.is_edge;
            left.push(changed);
            is_last
        });
        let user = user.as_ref().map(|user| self.users.remove(user, id, None));
        *was_last_of_user = user.as_ref().is_some_and(|user| user.is_edge);
        let name = name.as_ref().map(|name| self.names.remove(name, id, None));
        // Whoever finds the connection without membership finds it nowhere else.
        let _listed = self.live.retire(id);
        drop(membership);
        left.into_iter().chain(user).chain(name).for_each(|changed| self.tell_later(changed));
    }
}

impl Namespace {
    /// Adds a connection to a room that it may join, and lists it there if there is something to
    /// say about it.
    pub(super) fn add(
        &self,
        socket: &WebSocket,
        room: &str,
        listing: Option<Listing>,
    ) -> Result<Joined> {
        let limits = &self.rules().limits;
        let info = listing.as_ref().map(|listing| listing.info.get());
        if info.is_some_and(|info| info.len() > limits.member_info_size) {
            return Err(HandlerError::new(
                code::MEMBER_TOO_LARGE,
                "too much is said about a member",
            )
            .with("max_bytes", limits.member_info_size));
        }
        let mut membership = socket.membership();
        if !may_belong(socket, &membership) {
            return Err(SendError::Closed.into());
        }
        let user = listing.as_ref().and_then(|listing| listing.user.as_ref());
        if user.is_some() && user != membership.user.as_ref() {
            // It got another one while the room was asked.
            return Err(no_user());
        }
        let is_in = membership.rooms.has(room);
        if is_in && listing.is_none() {
            return Ok(Joined::default());
        }
        if !is_in && membership.rooms.len() >= limits.rooms {
            return Err(HandlerError::new(code::TOO_MANY_ROOMS, "leave a room first")
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
        let joined = Joined { is_new: !is_in, is_first: changed.is_edge };
        self.tell_later(changed);
        Ok(joined)
    }

    /// Joins the room of the path, if there is one, when everybody has admitted the connection. One whose
    /// client has left is in no room, but what it sent before speaks there.
    pub(super) fn enter(&self, socket: &WebSocket, room: Option<&str>) -> Result {
        let mut membership = socket.membership();
        if membership.standing == Standing::Leaving {
            if let Some(room) = room.filter(|room| !membership.rooms.has(room)) {
                membership.rooms.push(room.into());
            }
            return Ok(());
        }
        if !may_belong(socket, &membership) {
            return Err(SendError::Closed.into());
        }
        drop(membership);
        room.map_or(Ok(()), |room| self.add(socket, room, None).map(|_| ()))
    }

    /// # Errors
    ///
    /// `invalid_name` for a name that looks empty, has control characters or is too long.
    fn check_name(&self, name: &str, text: &'static str) -> Result {
        let max = self.rules().limits.name_size;
        if !is_name(name, max) {
            return Err(HandlerError::new(code::INVALID_NAME, text).with("max_bytes", max));
        }
        Ok(())
    }

    /// How long a user stays listed whose last connection ends like this.
    fn grace(&self, by: EndedBy) -> Option<Grace> {
        let limits = &self.rules().limits;
        let is_given = by == EndedBy::Client && !limits.presence_grace.is_zero();
        is_given.then(|| Grace {
            until: deadline_after(limits.presence_grace),
            max: limits.room_members,
        })
    }

    /// Schedules the announcement of a change; to be called where no lock is held.
    fn tell_later(&self, changed: Changed) {
        if let Some(gathering) = changed.gathering {
            self.announcers.start(self.runtime().as_ref(), gathering);
        }
    }
}

/// Looked at under the lock: who has closed meanwhile is taken out afterwards.
fn may_belong(socket: &WebSocket, membership: &Membership) -> bool {
    membership.is_member() && !socket.is_closed()
}
