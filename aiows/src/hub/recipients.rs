//! Whom something is sent to, and how it gets there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::yield_now;

use super::Delivery;
use super::late::Late;
use crate::codec::{Encoded, Tag, check_reserved};
use crate::error::SendError;
use crate::id::ConnectionId;
use crate::message::{Outgoing, encode};
use crate::outbox::{Published, SharedFrame};
use crate::websocket::{Directory, Members, Registry, Selector, WebSocket};

/// Peers that are written to before other tasks get a turn.
pub(super) const CHUNK: usize = 128;
/// Up to this many are appended to in one turn, which takes a tenth of the time of writing: several
/// publications become one write. Of more, each chunk is written while it is in the cache.
const AT_ONCE: usize = 2048;

type Filter = Box<dyn Fn(&WebSocket) -> bool + Send + Sync>;

/// Some connections of a server, to send to; made by [`Hub`](crate::Hub) and [`WebSocket::to`].
///
/// Recipients are resolved when the message is sent. A message is encoded once for all of them, and
/// slow clients do not delay the others: if a client's queue is full and its socket refuses bytes,
/// [`Limits::overflow`](crate::Limits::overflow) or the message's own `delivery` decides.
///
/// A queue may also be full because the connection's session had no time to write it. Over plain TCP
/// `send` writes it then. Over other streams it serves everybody else first, and then waits for that
/// session, at most [`Limits::write_timeout`](crate::Limits::write_timeout) in all. If the session
/// has no time for so long, the client is counted as refused and stays connected.
///
/// ```
/// use aiows::{Hub, Message, Result, WebSocket, message};
/// use serde::Serialize;
///
/// #[derive(Message, Serialize)]
/// struct News;
///
/// #[message("publish")]
/// async fn publish(hub: Hub, ws: WebSocket) -> Result {
///     let delivery = hub
///         .rooms(["sports", "politics"])
///         .except(ws.id())
///         .filter(|member| member.subprotocol().is_none())
///         .send(&News)
///         .await?;
///     println!("{} get it, {} do not", delivery.accepted, delivery.refused);
///     Ok(())
/// }
/// ```
#[must_use = "nothing is sent before `send` is called"]
pub struct Recipients {
    directory: Arc<dyn Directory>,
    selector: Selector,
    except: Vec<ConnectionId>,
    filter: Option<Filter>,
}

impl Recipients {
    pub(super) fn new(directory: Arc<dyn Directory>, selector: Selector) -> Self {
        Self { directory, selector, except: Vec::new(), filter: None }
    }

    /// Reaches the connections of all namespaces of the server, also if the [`Hub`](crate::Hub) is that
    /// of one namespace.
    ///
    /// `hub.user(name).everywhere()` is for every device of a user, whatever route it is connected to.
    /// Rooms belong to one namespace: if the server has several, a send to a room everywhere is
    /// [`SendError::NoNamespace`].
    ///
    /// ```
    /// use aiows::{Hub, Result, WebSocket, message};
    ///
    /// #[message("sign_out")]
    /// async fn sign_out(ws: WebSocket, hub: Hub) -> Result {
    ///     if let Some(user) = ws.user() {
    ///         hub.user(&user).everywhere().except(ws.id()).send_text("signed out").await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn everywhere(self) -> Self {
        Self { directory: self.directory.everywhere(), ..self }
    }

    /// Leaves one connection out; it may be called for several.
    pub fn except(mut self, id: ConnectionId) -> Self {
        self.except.push(id);
        self
    }

    /// Leaves several connections out.
    pub fn except_all(mut self, ids: impl IntoIterator<Item = ConnectionId>) -> Self {
        self.except.extend(ids);
        self
    }

    /// Leaves everybody out for whom `keep` is `false`; of several calls all must agree.
    pub fn filter(mut self, keep: impl Fn(&WebSocket) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(match self.filter.take() {
            None => Box::new(keep),
            Some(before) => Box::new(move |socket| before(socket) && keep(socket)),
        });
        self
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`SendError::Encode`]; [`SendError::NoRoom`] for [`Hub::all`](crate::Hub::all) where that is forbidden;
    /// [`SendError::NotMember`] for [`WebSocket::to`] and a room that the speaker is not in;
    /// [`SendError::NoNamespace`] for a room of a server with several namespaces, none of which was named.
    ///
    /// # Cancel safety
    ///
    /// Whom a dropped future has not come to gets nothing.
    pub async fn send<M: Outgoing + ?Sized>(self, message: &M) -> Result<Delivery, SendError> {
        self.deliver(|tag| {
            let encoded = encode(tag, None, message).map_err(SendError::Encode)?;
            Ok(SharedFrame::new(encoded))
        })
        .await
    }

    /// Sends any value as a JSON text, without a message type; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Delivery, SendError> {
        let text = serde_json::to_vec(value).map_err(SendError::Encode)?;
        let frame = SharedFrame::new(Encoded::raw(&text));
        self.deliver(|tag| {
            check_reserved(tag, &text).map_err(SendError::Encode)?;
            Ok(frame.clone())
        })
        .await
    }

    /// Sends a text as it is; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_text(self, text: &str) -> Result<Delivery, SendError> {
        self.deliver_encoded(Encoded::raw(text.as_bytes())).await
    }

    /// Sends bytes as they are; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_binary(self, bytes: &[u8]) -> Result<Delivery, SendError> {
        self.deliver_encoded(Encoded::binary(bytes)).await
    }

    async fn deliver_encoded(self, payload: Encoded) -> Result<Delivery, SendError> {
        let frame = SharedFrame::new(payload);
        self.deliver(|_| Ok(frame.clone())).await
    }

    async fn deliver(
        self,
        encode: impl Fn(&Tag) -> Result<SharedFrame, SendError>,
    ) -> Result<Delivery, SendError> {
        let members = self.directory.find(&self.selector)?;
        let mut forms = Forms::new(encode);
        let mut delivery = Delivery::default();
        let mut late = Late::default();
        let at_once = if members.len() > AT_ONCE { CHUNK } else { AT_ONCE };
        for (number, chunk) in members.chunks(at_once).enumerate() {
            if number > 0 {
                yield_now().await;
            }
            let range = number * at_once..number * at_once + chunk.len();
            let mut deferred = DeferredFlushes::new(&*self.directory, &members, range);
            for socket in chunk.iter().filter(|socket| self.includes(socket)) {
                let frame = forms.of(socket.tag())?;
                match socket.outbox().publish(frame) {
                    Published::Queued => delivery.accepted += 1,
                    Published::Deferred => {
                        deferred.any = true;
                        delivery.accepted += 1;
                    }
                    Published::Busy(since) => late.add(socket, frame, since),
                    Published::Dropped => delivery.refused += 1,
                    Published::Refused => {
                        socket.leave_if_closed();
                        delivery.refused += 1;
                    }
                }
            }
        }
        // A message that cannot be sent is an error, whoever is there.
        forms.any()?;
        let Delivery { accepted, refused } = late.publish(&*self.directory).await;
        delivery.accepted += accepted;
        delivery.refused += refused;
        Ok(delivery)
    }

    fn includes(&self, socket: &WebSocket) -> bool {
        !self.except.contains(&socket.id()) && self.filter.as_ref().is_none_or(|keep| keep(socket))
    }
}

/// What a chunk of members was promised; kept when dropped, however far the publisher came.
struct DeferredFlushes<'a> {
    directory: &'a dyn Directory,
    members: &'a Members,
    range: Range<usize>,
    any: bool,
}

impl<'a> DeferredFlushes<'a> {
    fn new(directory: &'a dyn Directory, members: &'a Members, range: Range<usize>) -> Self {
        Self { directory, members, range, any: false }
    }
}

impl Drop for DeferredFlushes<'_> {
    fn drop(&mut self) {
        if self.any {
            self.directory.write_soon(self.members, self.range.clone());
        }
    }
}

/// A message in each form it has on the wire: routers may have tags of their own, most servers have
/// one.
pub(super) struct Forms<E> {
    encode: E,
    known: Vec<(Tag, SharedFrame)>,
}

impl<E: Fn(&Tag) -> Result<SharedFrame, SendError>> Forms<E> {
    pub(super) fn new(encode: E) -> Self {
        Self { encode, known: Vec::with_capacity(1) }
    }

    /// Makes one if there is none.
    fn any(&mut self) -> Result<(), SendError> {
        if self.known.is_empty() {
            self.of(&Tag::default())?;
        }
        Ok(())
    }

    pub(super) fn of(&mut self, tag: &Tag) -> Result<&SharedFrame, SendError> {
        let at = match self.known.iter().position(|(known, _)| known == tag) {
            Some(at) => at,
            None => {
                self.known.push((tag.clone(), (self.encode)(tag)?));
                self.known.len() - 1
            }
        };
        Ok(&self.known[at].1)
    }
}

impl WebSocket {
    /// Aims at everybody in a room but this connection, which speaks as a member.
    ///
    /// If it is not in the room when it sends, it gets [`SendError::NotMember`], and nothing is sent. The
    /// server's own voice is [`Hub::room`](crate::Hub::room). A disconnect handler may still use it for the
    /// rooms that the connection was in when it ended.
    pub fn to(&self, room: impl AsRef<str>) -> Recipients {
        let selector = Selector::Room { name: room.as_ref().to_owned(), speaker: self.clone() };
        Recipients::new(Arc::<dyn Registry>::clone(self.registry()), selector).except(self.id())
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipients")
            .field("selector", &self.selector)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}
