//! The connection's record, and the handle on it that handlers get.

mod changes;
mod context;
mod membership;
mod peer;
mod registry;
mod reply;
mod requests;
mod rooms;
mod tasks;

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
    Directory, EndedBy, Info, Joining, Listing, Members, Membership, Registry, Selector, Standing,
};
use self::reply::Replies;
use self::requests::Requests;
use self::tasks::Tasks;
use crate::close::cut_reason;
pub use crate::close::{CloseCode, DisconnectReason};
use crate::codec::{Encoded, Tag, check_reserved};
use crate::error::SendError;
use crate::handshake::RequestInfo;
pub use crate::id::{ConnectionId, MessageId};
use crate::message::{Outgoing, encode};
use crate::outbox::{CloseRequest, Outbound, Outbox, Refused};
use crate::state::TypeMap;

/// A handle on one connection: cheap to clone, usable from any task.
///
/// Messages are queued in order and written by the connection's own task. A handle does not keep
/// the connection open; after its end sends fail with [`SendError::Closed`].
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
// `mod.rs` has sending and closing, `membership.rs` rooms and users, `reply.rs` replies, `requests.rs`
// requests to the client, `tasks.rs` what a connection owns until it ends.
#[derive(Clone)]
pub struct WebSocket {
    record: Arc<Record>,
}

struct Record {
    peer: Peer,
    connected_at: SystemTime,
    tag: Tag,
    outbox: Outbox,
    locals: Mutex<TypeMap>,
    requests: Requests,
    replies: Replies,
    tasks: Tasks,
    registry: Arc<dyn Registry>,
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

    /// Returns the id the server gave this connection.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.record.outbox.id()
    }

    /// Returns the address of the peer's end of the socket; `None` in memory.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.record.peer.addr.get().copied()
    }

    /// Returns the subprotocol that was agreed on; see `Server::subprotocols`.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.record.peer.subprotocol.as_deref()
    }

    /// Returns when the connection was opened.
    #[must_use]
    pub fn connected_at(&self) -> SystemTime {
        self.record.connected_at
    }

    /// Returns the name of the namespace whose rooms the connection joins.
    ///
    /// Unless [`Router::namespace`](crate::Router::namespace) gives another one, it is the path of
    /// [`Server::route`](crate::Server::route) as it is written there, `/rooms/{room}`, and `root` for
    /// [`Server::include_router`](crate::Server::include_router).
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.record.registry.namespace()
    }

    /// Returns the values kept for this connection.
    #[must_use]
    pub fn context(&self) -> &ContextMap {
        &self.record.peer.context
    }

    /// Tells whether the connection is closed or closing: nothing can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.record.outbox.is_closed()
    }

    /// Sends a message, waiting for room in the queue at most `Limits::write_timeout`, 10 s.
    ///
    /// Then [`Limits::overflow`](crate::Limits::overflow) decides, or what the message type says: by
    /// default a client whose socket has taken no byte meanwhile is closed as a slow consumer (1008). If
    /// it has taken some, the client stays and you get [`SendError::Full`]. Under a policy that drops
    /// messages it waits only while the socket takes bytes, and returns `Ok` for what is dropped.
    ///
    /// If several senders wait, they are served in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`SendError`] tells whether the message could not be encoded or queued.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has queued nothing.
    pub async fn send<M: Outgoing + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let encoded = self.encode(message)?;
        self.record.outbox.push(encoded).await
    }

    /// Sends a message without waiting for room.
    ///
    /// If the queue is full and the client's socket refuses bytes,
    /// [`Limits::overflow`](crate::Limits::overflow) or the message type decides at once, except that
    /// closing the connection is left to you.
    ///
    /// Over plain TCP a full queue is written to the socket first. Over other streams, such as Unix
    /// sockets and TLS, only the connection's session writes. If it has not tried since the queue became
    /// full, you get [`SendError::Full`] under every policy: let other tasks run, and try again.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is no room and no message is dropped for it.
    pub fn try_send<M: Outgoing + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let encoded = self.encode(message)?;
        self.record.outbox.try_push(encoded).map_err(|refused| match refused {
            Refused::Closed => SendError::Closed,
            Refused::Full(..) => SendError::Full,
        })
    }

    /// Sends any value as a JSON text, without a message type; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), SendError> {
        let text = serde_json::to_vec(value).map_err(SendError::Encode)?;
        check_reserved(self.tag(), &text).map_err(SendError::Encode)?;
        self.record.outbox.push(Encoded::raw(&text)).await
    }

    /// Sends a text as it is; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.record.outbox.push(Encoded::raw(text.as_bytes())).await
    }

    /// Sends bytes as they are; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_binary(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.record.outbox.push(Encoded::binary(bytes)).await
    }

    /// Closes the connection after what is queued was delivered.
    ///
    /// Returns at once; from now on sends fail. The first close counts. A reason longer than 123
    /// bytes is cut on a character boundary, a code that must not be sent (RFC 6455 section 7.4) is
    /// replaced by 1011.
    pub fn close(&self, code: impl Into<CloseCode>, reason: impl AsRef<str>) {
        let code = code.into().or_internal();
        let reason = cut_reason(reason.as_ref());
        let because = DisconnectReason::Closed { code, reason: reason.to_owned() };
        self.outbox().request_close(CloseRequest::handshake(code, reason, because));
        self.record.registry.depart(self, Standing::SentAway, EndedBy::Server);
    }

    /// Takes the connection out of everything if the policy for slow clients has closed it. Its session
    /// does that as well, when it has its next turn.
    #[cold]
    pub(crate) fn leave_if_closed(&self) {
        if self.outbox().awaits_close() {
            self.record.registry.depart(self, Standing::SentAway, EndedBy::Server);
        }
    }

    /// Returns the counts of the messages to this peer.
    #[must_use]
    pub fn outbound(&self) -> Outbound {
        self.record.outbox.outbound()
    }

    fn encode<M: Outgoing + ?Sized>(&self, message: &M) -> Result<Encoded, SendError> {
        encode(&self.record.tag, None, message).map_err(SendError::Encode)
    }

    /// Sets the address of a peer that was not known before.
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

    /// Drops what the connection keeps, which may hold the connection itself. From now on it keeps
    /// nothing.
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
