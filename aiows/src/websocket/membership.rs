//! The rooms, the user and the name of a connection.

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
    /// Joins a room.
    ///
    /// A room exists as long as it has members. Joining a room twice is the same as joining it
    /// once. The returned [`Joined`] reports whether the connection is the first member.
    ///
    /// # Errors
    ///
    /// The errors are visible to the client, so you can use `?` in a handler:
    ///
    /// - `invalid_room`, if the name is empty, has only white space, has a control character, or is
    ///   longer than [`Limits::room_name_size`](crate::Limits::room_name_size),
    /// - `too_many_rooms`, if the connection is in too many rooms,
    /// - `room_full`, if the room has too many members,
    /// - the error of `Server::check_rooms`, if that check refuses.
    ///
    /// If the connection is closed, the call fails as well.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future, the connection has either joined or not, but never in part.
    pub async fn join(&self, room: impl AsRef<str>) -> Result<Joined> {
        self.registry().join(self, room.as_ref(), None).await
    }

    /// Joins a room as a listed member, and announces the fields of `about` to the other members.
    ///
    /// `about` must serialize to a JSON object. When a listed member joins or leaves, all members
    /// of the room receive a message with the fields of `about`, preceded by the id of the member's
    /// connection:
    ///
    /// ```json
    /// {"type":"room.joined","room":"lobby","members":[{"id":"00000a91d3b84e67","name":"ann"}]}
    /// {"type":"room.left","room":"lobby","members":[{"id":"00000a91d3b84e67","name":"ann"}]}
    /// ```
    ///
    /// The connection that joins receives the list of all listed members instead, including itself,
    /// as `room.members`. A long list is split into several messages, with `part` from 1 to
    /// `parts`: part 1 replaces the client's list and the others extend it. If a member misses an
    /// announcement because its queue is full, it receives the whole list later.
    ///
    /// Changes are collected for 50 ms and then announced together, `room.left` before
    /// `room.joined`. A member that joins and leaves within that time is not announced. A
    /// connection that ends leaves its rooms. When the server stops, departures are not announced.
    ///
    /// Members that joined with [`join`](Self::join) also receive `room.joined` and `room.left`,
    /// but they receive no list and are not listed. If you join again with a different `about`,
    /// every member receives it as `room.joined`, including this connection. A client replaces its
    /// entry for a known `id`; the list is not sent again.
    ///
    /// ```
    /// use aiows::hub::Joined;
    /// use aiows::{Message, Result, WebSocket, message};
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
    /// Fails under the same conditions as [`join`](Self::join), and with `member_too_large` if the
    /// member is larger than [`Limits::member_info_size`](crate::Limits::member_info_size). You get
    /// an internal error if `about` is not an object, has an `id` of its own, or does not parse as
    /// a [`Value`].
    ///
    /// # Cancel safety
    ///
    /// The same as for [`join`](Self::join).
    pub async fn join_as<P: Serialize + ?Sized>(
        &self,
        room: impl AsRef<str>,
        about: &P,
    ) -> Result<Joined> {
        let info = describe(&self.id().to_string(), about).map_err(SendError::Encode)?;
        let listing = Listing { user: None, info };
        self.registry().join(self, room.as_ref(), Some(listing)).await
    }

    /// Joins a room as a listed user, and announces the fields of `about` to the other members.
    ///
    /// This is like [`join_as`](Self::join_as), but the room lists users instead of connections.
    /// The `id` of a member is the name that you passed to [`set_user`](Self::set_user). If a user
    /// has several connections in the room, it is a single member: only its first connection and
    /// the end of its last one are announced. The latest `about` of a user applies, and a changed
    /// one is announced as `room.joined`.
    ///
    /// If the client of a user's last connection disconnects by itself, the user stays listed for
    /// [`Limits::presence_grace`](crate::Limits::presence_grace), 2 s by default. If it comes back
    /// within that time, no announcement is made, so reloading a page does not disturb the others.
    /// There is no such grace period if the server closes the connection, with
    /// [`close`](Self::close), a kick or because of a limit. The same is true if the connection
    /// leaves the room, or if you set another user or clear it: the connection stays in the room,
    /// but is not listed until it joins again.
    ///
    /// ```
    /// use aiows::hub::Joined;
    /// use aiows::{Message, Result, WebSocket, message};
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
    /// Fails under the same conditions as [`join_as`](Self::join_as), and with `no_user`, visible
    /// to the client, if the connection has no user.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`join`](Self::join).
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

    /// Leaves a room.
    ///
    /// The returned [`Left`] reports whether the connection was a member, and whether it was the
    /// last one.
    pub fn leave(&self, room: impl AsRef<str>) -> Left {
        self.registry().leave(self, room.as_ref())
    }

    /// Returns the rooms of the connection, in the order in which it joined them.
    ///
    /// In a disconnect handler, you get the rooms that the connection was in when it ended.
    /// Afterwards the list is empty.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        let membership = self.membership();
        if membership.is_visible() { membership.rooms.names() } else { Vec::new() }
    }

    /// Returns `true` if the connection is in a room.
    #[must_use]
    pub fn is_in(&self, room: impl AsRef<str>) -> bool {
        let membership = self.membership();
        membership.is_visible() && membership.rooms.has(room.as_ref())
    }

    /// Sets the user of the connection, so that [`Hub::user`](crate::Hub::user) finds it.
    ///
    /// A connection has one user at a time; if you call this again, the new user replaces the old
    /// one. Users are the same in all namespaces of the server. The returned [`UserChange`] reports
    /// whether this is the user's first connection, and whether it was the last connection of the
    /// previous user.
    ///
    /// # Errors
    ///
    /// Fails with `invalid_name`, visible to the client, if the name is empty, has only white
    /// space, has a control character, or is longer than
    /// [`Limits::name_size`](crate::Limits::name_size). The connection then keeps its present user.
    /// If the connection has ended, the call fails as well.
    pub fn set_user(&self, user: impl AsRef<str>) -> Result<UserChange> {
        self.registry().set_user(self, Some(user.as_ref()))
    }

    /// Clears the user of the connection.
    ///
    /// The returned [`UserChange`] reports whether this was the user's last connection. After the
    /// end of the connection the call has no effect.
    pub fn clear_user(&self) -> UserChange {
        self.registry().set_user(self, None).unwrap_or_default()
    }

    /// Returns the user that [`set_user`](Self::set_user) has set.
    #[must_use]
    pub fn user(&self) -> Option<Arc<str>> {
        let membership = self.membership();
        membership.user.clone().filter(|_| membership.is_visible())
    }

    /// Gives the connection a name that is unique in its [namespace](Self::namespace).
    ///
    /// The name is reserved until the connection ends, and [`Hub::named`] finds it. It may be
    /// chosen by the client, for example for a device or a seat. If you call this again, the
    /// previous name becomes free.
    ///
    /// # Errors
    ///
    /// The errors are visible to the client: `name_taken`, if another connection has the name, and
    /// `invalid_name` as for [`set_user`](Self::set_user). If the connection is closed, the
    /// call fails as well.
    ///
    /// [`Hub::named`]: crate::Hub::named
    pub fn set_name(&self, name: impl AsRef<str>) -> Result {
        self.registry().set_name(self, name.as_ref())
    }

    /// Returns the name that [`set_name`](Self::set_name) has set.
    #[must_use]
    pub fn name(&self) -> Option<Arc<str>> {
        let membership = self.membership();
        membership.name.clone().filter(|_| membership.is_visible())
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

/// Encodes a listed member: the id of its connection or user, followed by the fields of `about`.
///
/// # Errors
///
/// If `about` is not an object, has an `id` of its own, or does not parse as a [`Value`].
pub(crate) fn describe<P: Serialize + ?Sized>(id: &str, about: &P) -> serde_json::Result<Info> {
    let encoded = codec::encode_named(ID, id, about)?;
    let info: Box<RawValue> = serde_json::from_slice(encoded.payload())?;
    codec::check_keys(info.get()).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<Value>(info.get())?;
    Ok(info.into())
}
