//! What a connection does with rooms, and who its user is.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Handle;

use super::group::Changed;
use super::presence::describe;
use super::rules::is_name;
use super::tabs::Grace;
use super::{Shared, Target, errand};
use crate::error::{HandlerError, Result, SendError, code};
use crate::limits::deadline_after;
use crate::websocket::{
    Aim, EndedBy, Joined, Joining, Left, Listing, Members, Membership, Registry, Standing,
    UserChange, WebSocket,
};

impl Registry for Shared {
    fn join<'a>(
        &'a self,
        socket: &'a WebSocket,
        room: &'a str,
        listing: Option<Listing>,
    ) -> Joining<'a> {
        Box::pin(async move {
            self.rules()?.allow(room, socket).await?;
            self.add(socket, room, listing)
        })
    }

    fn leave(&self, socket: &WebSocket, room: &str) -> Left {
        let changed = {
            let mut membership = socket.membership();
            // What has ended is kept for its handlers, and nowhere else.
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
        let grace = self.grace(by);
        let Membership { rooms, user, name, was_last_of_user, .. } = &mut *membership;
        let mut left = Vec::with_capacity(rooms.len());
        rooms.leave_all(|room| {
            let changed = self.rooms.remove(room, id, grace);
            let is_last = changed.is_edge;
            left.push(changed);
            is_last
        });
        let user = user.as_ref().map(|user| self.users.remove(user, id, None));
        *was_last_of_user = user.as_ref().is_some_and(|user| user.is_edge);
        let name = name.as_ref().map(|name| self.names.remove(name, id, None));
        drop(membership);
        self.live.retire(id);
        left.into_iter().chain(user).chain(name).for_each(|changed| self.tell_later(changed));
    }

    fn find(&self, aim: &Aim) -> std::result::Result<Members, SendError> {
        // Before the build nobody is connected. Looking anyway would race with the build, whose rules
        // may forbid it.
        let Ok(rules) = self.rules() else { return Ok(Members::default()) };
        Ok(match aim {
            Aim::All if rules.needs_room => return Err(SendError::NoRoom),
            Aim::All => self.live.all(),
            Aim::Room { name, speaker } => {
                speaker.membership().may_speak(name)?;
                self.rooms.members(name)
            }
            Aim::Rooms(names) => union(names, |name| self.rooms.members(name)),
            Aim::Users(names) => union(names, |name| self.users.members(name)),
            Aim::Connection(id) => self.live.get(*id).into_iter().collect(),
        })
    }

    fn runtime(&self) -> Option<Handle> {
        Self::runtime(self)
    }

    fn write_soon(&self, members: &Members, range: Range<usize>) {
        errand::start(Self::runtime(self).as_ref(), members, range);
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
    /// Adds a connection to a room that it may join, and lists it there if there is something to
    /// say about it.
    pub(super) fn add(
        &self,
        socket: &WebSocket,
        room: &str,
        listing: Option<Listing>,
    ) -> Result<Joined> {
        let limits = &self.rules()?.limits;
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
            return Err(HandlerError::new(code::ROOM_FULL, "the room is full")
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

    /// Joins the room of the path, when everybody has admitted the connection. One whose client has left
    /// is in no room, but what it sent before speaks there.
    pub(super) fn enter(&self, socket: &WebSocket, room: &str) -> Result {
        let mut membership = socket.membership();
        if membership.standing == Standing::Leaving {
            membership.rooms.push(room.into());
            return Ok(());
        }
        drop(membership);
        self.add(socket, room, None).map(|_| ())
    }

    /// # Errors
    ///
    /// `invalid_name` for a name that looks empty, has control characters or is too long.
    fn check_name(&self, name: &str, text: &'static str) -> Result {
        let max = self.rules()?.limits.name_size;
        if !is_name(name, max) {
            return Err(HandlerError::new(code::INVALID_NAME, text).with("max_bytes", max));
        }
        Ok(())
    }

    /// How long a user stays listed whose last connection ends like this.
    fn grace(&self, by: EndedBy) -> Option<Grace> {
        let limits = &self.rules().ok()?.limits;
        let is_given = by == EndedBy::Client && !limits.presence_grace.is_zero();
        is_given.then(|| Grace {
            until: deadline_after(limits.presence_grace),
            max: limits.room_members,
        })
    }

    /// Schedules the announcement of a change; to be called where no lock is held.
    fn tell_later(&self, changed: Changed) {
        if let Some(gathering) = changed.gathering {
            self.announcers.start(Self::runtime(self).as_ref(), gathering);
        }
    }
}

/// Looked at under the lock: who has closed meanwhile is taken out afterwards.
fn may_belong(socket: &WebSocket, membership: &Membership) -> bool {
    membership.is_member() && !socket.is_closed()
}

fn no_user() -> HandlerError {
    HandlerError::new(code::NO_USER, "this connection has no user")
}

impl WebSocket {
    /// Joins a room, which is there as long as it has members. Joining twice is joining once. The
    /// returned [`Joined`] tells whether the connection is the first member.
    ///
    /// # Errors
    ///
    /// Visible ones, so that `?` in a handler tells the peer: `invalid_room` for a name that is empty,
    /// has nothing but white space or a control character, or is longer than [`Limits::room_name_size`](crate::Limits::room_name_size), `too_many_rooms`,
    /// `room_full`, and what `Server::check_rooms` refuses with. A closed connection joins nothing.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has joined, or not; never half.
    pub async fn join(&self, room: impl AsRef<str>) -> Result<Joined> {
        self.registry().join(self, room.as_ref(), None).await
    }

    /// Joins a room, and tells it who has joined: the fields of `about`, an object in JSON.
    ///
    /// Everybody in the room is told who of those that joined like this comes and goes, with their
    /// connection's id before the fields:
    ///
    /// ```json
    /// {"type":"room.joined","room":"lobby","members":[{"id":"00000a91d3b84e67","name":"ann"}]}
    /// {"type":"room.left","room":"lobby","members":[{"id":"00000a91d3b84e67","name":"ann"}]}
    /// ```
    ///
    /// A connection that joins gets the list of all of them instead, itself included, as
    /// `room.members`. A long list comes in several messages, with `part` from 1 to `parts`: part 1
    /// replaces what the client knows, the others add to it. A member that missed an announcement,
    /// because its queue was full, gets the list, too.
    ///
    /// The changes of 50 ms are told at once, `room.left` before `room.joined`; a connection that
    /// came and left in that time was never there. A connection that ends has left. A server that
    /// stops tells nothing.
    ///
    /// Members that joined with [`join`](Self::join) get `room.joined` and `room.left` as well, but
    /// no list, and they are not listed. If you join again with
    /// something else in `about`, every member gets that as `room.joined`, this connection included:
    /// an `id` that a client knows already replaces what it knows. The whole list is not sent again.
    ///
    /// ```
    /// use aiows::{Joined, Message, Result, WebSocket, message};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Message, Deserialize)]
    /// struct Enter {
    ///     name: String,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct Member {
    ///     name: String,
    /// }
    ///
    /// #[message("enter")]
    /// async fn enter(ws: WebSocket, enter: Enter) -> Result<Joined> {
    ///     ws.join_as("lobby", &Member { name: enter.name }).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join), and `member_too_large` for more than
    /// [`Limits::member_info_size`](crate::Limits::member_info_size). What is no object, has an
    /// `id` of its own, or is no [`Value`](serde_json::Value), is an internal error.
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    pub async fn join_as<P: Serialize + ?Sized>(
        &self,
        room: impl AsRef<str>,
        about: &P,
    ) -> Result<Joined> {
        let info = describe(&self.id().to_string(), about).map_err(SendError::Encode)?;
        let listing = Listing { user: None, info };
        self.registry().join(self, room.as_ref(), Some(listing)).await
    }

    /// Joins a room as its user, and tells it who has joined: the fields of `about`, an object in JSON.
    ///
    /// It is [`join_as`](Self::join_as), but the room lists users and not connections: the `id` of a
    /// member is the name that [`set_user`](Self::set_user) gave, and a user with several connections in
    /// the room is one member. The room is told of the first one and of the last one only. What was said
    /// last about a user counts; if that is new, it is told as `room.joined`.
    ///
    /// If the client of the last connection goes by itself, the user stays listed for
    /// [`Limits::presence_grace`](crate::Limits::presence_grace), 2 s, and is not announced if it comes
    /// back meanwhile: a page that loads again says nothing to the others. Whoever is sent away, with
    /// [`close`](Self::close), a kick or by a limit, leaves at once, and so does a connection that
    /// leaves the room, or gets another user or none: it stays in the room and is not listed until it
    /// joins once more.
    ///
    /// ```
    /// use aiows::{Joined, Message, Result, WebSocket, message};
    /// use serde::Deserialize;
    /// use serde_json::json;
    ///
    /// #[derive(Message, Deserialize)]
    /// struct Enter {
    ///     token: String,
    /// }
    ///
    /// #[message("enter")]
    /// async fn enter(ws: WebSocket, Enter { token }: Enter) -> Result<Joined> {
    ///     ws.set_user(user_of(&token))?;
    ///     ws.join_as_user("lobby", &json!({ "away": false })).await
    /// }
    /// # fn user_of(token: &str) -> &str {
    /// #     token
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`join_as`](Self::join_as), and `no_user`, visible to the client, if the connection has no user.
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    pub async fn join_as_user<P: Serialize + ?Sized>(
        &self,
        room: impl AsRef<str>,
        about: &P,
    ) -> Result<Joined> {
        let user = self.user().ok_or_else(no_user)?;
        let info = describe(&user, about).map_err(SendError::Encode)?;
        let listing = Listing { user: Some(user), info };
        self.registry().join(self, room.as_ref(), Some(listing)).await
    }

    /// Leaves a room, and tells whether the connection was in it, as its last member perhaps.
    pub fn leave(&self, room: impl AsRef<str>) -> Left {
        self.registry().leave(self, room.as_ref())
    }

    /// Lists the rooms the connection is in, in the order it joined; in a disconnect handler, those
    /// it was in.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        let membership = self.membership();
        if membership.is_seen() { membership.rooms.names() } else { Vec::new() }
    }

    /// Tells whether the connection is in a room.
    #[must_use]
    pub fn is_in(&self, room: impl AsRef<str>) -> bool {
        let membership = self.membership();
        membership.is_seen() && membership.rooms.has(room.as_ref())
    }

    /// Says who is at the other end: [`Hub::user`](crate::Hub::user) finds all connections of a user.
    ///
    /// A connection has one user at a time; the latest call counts. The returned [`UserChange`] tells
    /// whether this is the user's first connection, and whether it was the last one of the user it had
    /// before.
    ///
    /// # Errors
    ///
    /// `invalid_name`, visible to the client, if the name is empty, has nothing but white space or a
    /// control character, or is longer than [`Limits::name_size`](crate::Limits::name_size): the connection keeps the user it has. A
    /// connection that has ended gets no user.
    pub fn set_user(&self, user: impl AsRef<str>) -> Result<UserChange> {
        self.registry().set_user(self, Some(user.as_ref()))
    }

    /// Forgets who is at the other end, and tells whether that was the user's last connection. After
    /// the end of the connection it does nothing.
    pub fn clear_user(&self) -> UserChange {
        self.registry().set_user(self, None).unwrap_or_default()
    }

    /// Returns who is at the other end, once [`set_user`](Self::set_user) has said it.
    #[must_use]
    pub fn user(&self) -> Option<Arc<str>> {
        let membership = self.membership();
        membership.user.clone().filter(|_| membership.is_seen())
    }

    /// Gives the connection a name that no other one has, as long as it lasts; [`Hub::named`] finds it.
    ///
    /// The name may be the client's choice: a device, a seat. A second call gives the first name back.
    ///
    /// # Errors
    ///
    /// Visible ones: `name_taken`, and `invalid_name` as for [`set_user`](Self::set_user).
    ///
    /// [`Hub::named`]: crate::Hub::named
    pub fn set_name(&self, name: impl AsRef<str>) -> Result {
        self.registry().set_name(self, name.as_ref())
    }

    /// Returns the name that [`set_name`](Self::set_name) gave the connection.
    #[must_use]
    pub fn name(&self) -> Option<Arc<str>> {
        let membership = self.membership();
        membership.name.clone().filter(|_| membership.is_seen())
    }

    /// Aims at everybody in a room but this connection, which speaks as a member.
    ///
    /// If it is not in the room when it sends, it gets [`SendError::NotMember`], and nothing is sent. The
    /// server's own voice is [`Hub::room`](crate::Hub::room). A disconnect handler may still use it for the
    /// rooms that the connection was in when it ended.
    pub fn to(&self, room: impl AsRef<str>) -> Target {
        let aim = Aim::Room { name: room.as_ref().to_owned(), speaker: self.clone() };
        Target::new(Arc::clone(self.registry()), aim).except(self.id())
    }
}
