//! What the handle on a connection does with rooms, and with its user.

use std::sync::{Arc, MutexGuard, PoisonError};

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::Value;
use serde_json::value::RawValue;

use super::WebSocket;
use super::changes::{Joined, Left, UserChange};
use super::registry::{Info, Listing, Membership, Registry};
use crate::codec::{self, ID};
use crate::error::{HandlerError, Result, SendError, code};

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
    /// [`Limits::member_info_size`](crate::Limits::member_info_size). If the description is not an
    /// object, has an `id` of its own, or cannot become a [`serde_json::Value`], it is an internal
    /// error.
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
    /// it was in. After that there are none.
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
    /// A connection has one user at a time; the latest call counts. A user is the same in all namespaces of
    /// the server. The returned [`UserChange`] tells
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

    /// Gives the connection a name that no other one of its [namespace](Self::namespace) has, as long as it
    /// lasts; [`Hub::named`] finds it.
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

    pub(crate) fn registry(&self) -> &Arc<dyn Registry> {
        &self.record.registry
    }

    pub(crate) fn membership(&self) -> MutexGuard<'_, Membership> {
        self.record.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn no_user() -> HandlerError {
    HandlerError::new(code::NO_USER, "this connection has no user")
}

/// Writes a member as its room is told: the id of its connection or user, and the fields of what is
/// said about it.
///
/// # Errors
///
/// When that is no object, has an `id` of its own, or is no [`Value`], as which it is listed.
pub(crate) fn describe<P: Serialize + ?Sized>(id: &str, about: &P) -> serde_json::Result<Info> {
    let encoded = codec::encode_named(ID, id, about)?;
    let info: Box<RawValue> = serde_json::from_slice(encoded.payload())?;
    codec::check_keys(info.get()).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<Value>(info.get())?;
    Ok(info.into())
}
