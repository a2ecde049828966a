//! The handle on one connection, and the types that its methods use.
//!
//! You send messages, join rooms, set the user and close the connection with a [`WebSocket`]. A
//! [`ContextMap`] keeps values for one connection. When a connection ends, disconnect handlers
//! receive a [`DisconnectReason`] and a [`Departure`].

// The handle never touches the socket. Messages go to the `Outbox` of the connection; rooms and
// users go to the `Registry` of its namespace.
mod changes; // the results of joining, leaving and ending
mod context; // the values of one connection
mod membership; // methods of the handle for rooms, users and names
mod peer; // facts about the client that are known before its first message
mod registry; // the interface through which a handle reaches rooms, users and other connections
mod reply; // replies that a handler sends before it returns
mod requests; // requests to the client, and its answers
mod room_list; // the list of the rooms of one connection
mod tasks; // waiting for the end, and tasks that end with the connection

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

pub use self::changes::{Departure, Joined, Left, UserChange};
pub use self::context::ContextMap;
#[cfg(test)]
pub(crate) use self::membership::describe;
pub(crate) use self::membership::no_user;
pub(crate) use self::peer::Peer;
pub(crate) use self::registry::{
    Directory, EndedBy, Found, Info, Joining, Listing, Members, Membership, Registry, Selector,
    Standing,
};
use self::reply::Replies;
use self::requests::Requests;
use self::tasks::Tasks;
use crate::close::cut_reason;
pub use crate::close::{CloseCode, DisconnectReason};
use crate::codec::{Encoded, HeadId, Tag, check_reserved};
use crate::error::SendError;
use crate::handshake::RequestInfo;
pub use crate::id::{ConnectionId, MessageId};
use crate::message::{Outgoing, encode};
use crate::outbox::{CloseRequest, Outbound, Outbox};
use crate::state::TypeMap;

/// A handle on one connection. It is cheap to clone, and you can use it from any task.
///
/// Messages are queued in order, and the connection's own task writes them. A handle does not keep
/// the connection open; once the connection has ended, sends fail with [`SendError::Closed`].
///
/// ```
/// use aiows::{Message, Result, WebSocket, message};
/// use serde::Serialize;
///
/// #[derive(Message, Serialize)]
/// struct Progress {
///     percent: u8,
/// }
///
/// #[message("start")]
/// async fn start(ws: WebSocket) -> Result {
///     ws.send(&Progress { percent: 0 }).await?;
///     ws.send(&Progress { percent: 100 }).await?;
///     Ok(())
/// }
/// ```
// The methods are spread over four more files: `membership.rs` has rooms and users, `reply.rs`
// replies, `requests.rs` requests to the client, `tasks.rs` tasks that end with the
// connection.
#[derive(Clone)]
pub struct WebSocket {
    record: Arc<Record>,
}

/// The state of one connection, shared by all handles on it.
struct Record {
    peer: Peer,
    connected_at: SystemTime,
    /// The key of the message type in JSON, as the router chose it.
    tag: Tag,
    /// The bounded queue of messages to the client, and how far the connection is closed.
    outbox: Outbox,
    /// Values that only the handlers of this connection use, through `Local`. Closed when the
    /// connection has ended.
    locals: Mutex<TypeMap>,
    /// Requests to the client that wait for their answers.
    requests: Requests,
    /// Whether the handler that runs has replied to its message already.
    replies: Replies,
    /// Futures given to `spawn`.
    tasks: Tasks,
    /// The rooms and users of the namespace.
    registry: Arc<dyn Registry>,
    /// The rooms, the user and the name of this connection; the registry changes them.
    membership: Mutex<Membership>,
}

impl WebSocket {
    pub(crate) fn new(outbox: Outbox, peer: Peer, tag: Tag, registry: Arc<dyn Registry>) -> Self {
        Self {
            record: Arc::new(Record {
                peer,
                connected_at: SystemTime::now(),
                tag,
                outbox,
                locals: Mutex::default(),
                requests: Requests::default(),
                replies: Replies::default(),
                tasks: Tasks::default(),
                registry,
                membership: Mutex::default(),
            }),
        }
    }

    /// Returns the id that the server gave this connection.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.record.outbox.id()
    }

    /// Returns the address of the client's end of the socket, or `None` if the connection is in
    /// memory.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.record.peer.addr.get().copied()
    }

    /// Returns the subprotocol that the handshake agreed on; see
    /// [`Server::subprotocols`](crate::Server::subprotocols).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.record.peer.subprotocol.as_deref()
    }

    /// Returns the time at which the connection was opened.
    #[must_use]
    pub fn connected_at(&self) -> SystemTime {
        self.record.connected_at
    }

    /// Returns the name of the namespace whose rooms the connection joins.
    ///
    /// You choose the name with [`Router::namespace`](crate::Router::namespace). If you do not, it
    /// is the path of [`Server::route`](crate::Server::route) as you wrote it there, such as
    /// `/rooms/{room}`, and `root` for [`Server::include_router`](crate::Server::include_router).
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.record.registry.namespace()
    }

    /// Returns the values that are kept for this connection.
    #[must_use]
    pub fn context(&self) -> &ContextMap {
        &self.record.peer.context
    }

    /// Returns whether the connection is closed or closing. If so, you cannot send anything any
    /// more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.record.outbox.is_closed()
    }

    /// Sends a message, and waits if the queue is full.
    ///
    /// It waits for at most [`Limits::write_timeout`](crate::Limits::write_timeout), 10 s by
    /// default. If the queue is still full then, the policy of the message type applies, or
    /// [`Limits::overflow`](crate::Limits::overflow) if the type has none. By default the
    /// connection is closed because of a slow client (1008) if the socket has taken no byte in that
    /// time. If it has taken some, the connection stays open and you get [`SendError::Full`]. Under
    /// a policy that drops messages, `send` waits only while the socket takes bytes, and returns
    /// `Ok` for a message that is dropped.
    ///
    /// If several senders wait, they are served in the order in which they began to wait.
    ///
    /// # Errors
    ///
    /// [`SendError`] distinguishes a message that could not be encoded from one that could not be
    /// queued.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future before it completes, the message is not queued.
    pub async fn send<M: Outgoing + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let encoded = self.encode(message)?;
        self.record.outbox.push(encoded).await
    }

    /// Sends a message without waiting for room.
    ///
    /// If the queue is full and the client's socket refuses bytes, the policy of the message type
    /// or [`Limits::overflow`](crate::Limits::overflow) applies at once, except that it is up to
    /// you to close the connection.
    ///
    /// Over plain TCP a full queue is first written to the socket. Over other streams, such as Unix
    /// sockets and TLS, only the connection's session writes. If the session has not tried to write
    /// since the queue became full, you get [`SendError::Full`] under every policy: let other tasks
    /// run, and try again.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if the queue is full and the policy drops no message to make room.
    /// [`SendError::Closed`] and [`SendError::Encode`] are the same as for [`send`](Self::send).
    pub fn try_send<M: Outgoing + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let encoded = self.encode(message)?;
        self.record.outbox.try_push(encoded)
    }

    /// Sends any value as a JSON text without a message type; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`send`](Self::send).
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), SendError> {
        let text = serde_json::to_vec(value).map_err(SendError::Encode)?;
        check_reserved(self.tag(), &text).map_err(SendError::Encode)?;
        self.record.outbox.push(Encoded::raw(&text)).await
    }

    /// Sends a text unchanged; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`send`](Self::send).
    pub async fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.record.outbox.push(Encoded::raw(text.as_bytes())).await
    }

    /// Sends bytes unchanged; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`send`](Self::send).
    pub async fn send_binary(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.record.outbox.push(Encoded::binary(bytes)).await
    }

    /// Closes the connection after the queued messages are delivered.
    ///
    /// It returns at once, and sends fail from now on. If you close a connection more than once,
    /// the first call counts. A reason longer than 123 bytes is cut on a character boundary. If the
    /// code must not be sent (RFC 6455 section 7.4), 1011 is sent instead.
    pub fn close(&self, code: impl Into<CloseCode>, reason: impl AsRef<str>) {
        let code = code.into().or_internal();
        let reason = cut_reason(reason.as_ref());
        let because = DisconnectReason::Closed { code, reason: reason.to_owned() };
        self.outbox().request_close(CloseRequest::handshake(code, reason, because));
        self.record.registry.depart(self, Standing::Closed, EndedBy::Server);
    }

    /// Removes the connection from its rooms and its user if the policy for slow clients has closed
    /// it. The session does that as well, but only when it runs next.
    #[cold]
    pub(crate) fn leave_if_closed(&self) {
        if self.outbox().awaits_close() {
            self.record.registry.depart(self, Standing::Closed, EndedBy::Server);
        }
    }

    /// Returns the counts of the messages to this client.
    #[must_use]
    pub fn outbound(&self) -> Outbound {
        self.record.outbox.outbound()
    }

    fn encode<M: Outgoing + ?Sized>(&self, message: &M) -> Result<Encoded, SendError> {
        encode(&self.record.tag, HeadId::None, message).map_err(SendError::Encode)
    }

    /// Sets the client's address if it was not known before.
    #[cfg(feature = "axum")]
    pub(crate) fn note_peer_addr(&self, addr: SocketAddr) {
        let _ = self.record.peer.addr.set(addr);
    }

    pub(crate) fn request_info(&self) -> Option<&RequestInfo> {
        self.record.peer.request.as_deref()
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.record.outbox
    }

    pub(crate) fn tag(&self) -> &Tag {
        &self.record.tag
    }

    /// Drops the values of the connection, which may hold the connection itself, and keeps none
    /// from now on.
    pub(crate) fn close_values(&self) {
        self.context().close(self.id());
        let locals = self.locals().close();
        locals.drop_caught(self.id());
    }

    pub(crate) fn locals(&self) -> MutexGuard<'_, TypeMap> {
        self.record.locals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &self.id())
            .field("peer_addr", &self.peer_addr())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
