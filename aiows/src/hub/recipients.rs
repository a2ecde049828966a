//! The recipients of a message, and its delivery to them.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::yield_now;

use super::Delivery;
use super::busy::BusyMembers;
use super::flush_task::{CHUNK, FlushTask};
use crate::codec::{Encoded, HeadId, Tag, check_reserved};
use crate::error::SendError;
use crate::id::ConnectionId;
use crate::message::{Outgoing, encode};
use crate::outbox::{OfferResult, SharedFrame, When};
use crate::websocket::{Directory, Found, Registry, Selector, WebSocket};

/// Up to this many recipients are queued in one turn. Queueing takes a tenth of the time of
/// writing, and several publications become one write. With more recipients each chunk is written
/// while it is in the cache.
const MAX_PER_TURN: usize = 2048;

type Filter = Box<dyn Fn(&WebSocket) -> bool + Send + Sync>;

/// The recipients of a message, chosen by [`Hub`](crate::Hub) or [`WebSocket::to`].
///
/// You narrow them down with [`except`](Self::except) and [`filter`](Self::filter), and then send.
/// Recipients are resolved when the message is sent. The message is encoded once for all of them.
///
/// Slow clients never delay the others. If a client's queue is full and its socket takes no more
/// bytes, [`Limits::overflow`](crate::Limits::overflow) decides, or the `delivery` of the message
/// type.
///
/// A queue may also be full because its session had no time to write. Over plain TCP `send` writes
/// the queue itself. Over other streams it serves the other recipients first and then waits for
/// these sessions, at most [`Limits::write_timeout`](crate::Limits::write_timeout) in all. If a
/// session does not write in that time, its client counts as refused and stays connected.
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
///     println!("{} received it, {} did not", delivery.accepted, delivery.refused);
///     Ok(())
/// }
/// ```
#[must_use = "no message is sent before `send` is called"]
pub struct Recipients {
    directory: Arc<dyn Directory>,
    selector: Selector,
    /// Connections that are left out.
    except: Vec<ConnectionId>,
    filter: Option<Filter>,
}

impl Recipients {
    pub(super) fn new(directory: Arc<dyn Directory>, selector: Selector) -> Self {
        Self { directory, selector, except: Vec::new(), filter: None }
    }

    /// Includes the connections of all namespaces of the server, even if the [`Hub`](crate::Hub)
    /// belongs to one namespace.
    ///
    /// Use `hub.user(name).everywhere()` to reach every device of a user on any route. Rooms belong
    /// to one namespace: if the server has several, sending to a room everywhere fails with
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

    /// Leaves out one connection. You may call it several times.
    pub fn except(mut self, id: ConnectionId) -> Self {
        self.except.push(id);
        self
    }

    /// Leaves out several connections.
    pub fn except_all(mut self, ids: impl IntoIterator<Item = ConnectionId>) -> Self {
        self.except.extend(ids);
        self
    }

    /// Leaves out connections for which `keep` returns `false`. If you call it several times, a
    /// recipient must pass every filter.
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
    /// Returns an error if:
    ///
    /// - the message cannot be encoded ([`SendError::Encode`]),
    /// - you send to [`Hub::all`](crate::Hub::all) and the server forbids it
    ///   ([`SendError::NoRoom`]),
    /// - you use [`WebSocket::to`] and the connection is not in the room
    ///   ([`SendError::NotMember`]), or it is closed and has no rooms any more
    ///   ([`SendError::Closed`]),
    /// - the server has several namespaces and you send to a room without choosing one
    ///   ([`SendError::NoNamespace`]).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, recipients not yet reached receive no message.
    pub async fn send<M: Outgoing + ?Sized>(self, message: &M) -> Result<Delivery, SendError> {
        self.deliver(|tag| {
            let encoded = encode(tag, HeadId::None, message).map_err(SendError::Encode)?;
            Ok(SharedFrame::new(encoded))
        })
        .await
    }

    /// Sends any value as JSON text, without a message type; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Fails under the same conditions as [`send`](Self::send).
    pub async fn send_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Delivery, SendError> {
        let text = serde_json::to_vec(value).map_err(SendError::Encode)?;
        let frame = SharedFrame::new(Encoded::raw(&text));
        self.deliver(|tag| {
            check_reserved(tag, &text).map_err(SendError::Encode)?;
            Ok(frame.clone())
        })
        .await
    }

    /// Sends text unchanged; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Fails under the same conditions as [`send`](Self::send).
    pub async fn send_text(self, text: &str) -> Result<Delivery, SendError> {
        self.deliver_encoded(Encoded::raw(text.as_bytes())).await
    }

    /// Sends bytes unchanged as a binary message; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Fails under the same conditions as [`send`](Self::send).
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
        let Found { members, runtime } = self.directory.find(&self.selector)?;
        let mut forms = EncodedForms::new(encode);
        let mut delivery = Delivery::default();
        let mut busy_members = BusyMembers::default();
        let per_turn = if members.len() > MAX_PER_TURN { CHUNK } else { MAX_PER_TURN };
        for (number, chunk) in members.chunks(per_turn).enumerate() {
            if number > 0 {
                yield_now().await;
            }
            let start = number * per_turn;
            let mut flush_task = FlushTask::new(&members, start);
            let recipients = (start..).zip(chunk).filter(|(_, socket)| self.includes(socket));
            for (at, socket) in recipients {
                let frame = forms.of(socket.tag())?;
                match socket.outbox().offer(frame, When::Offered) {
                    OfferResult::Queued => delivery.accepted += 1,
                    OfferResult::Deferred => {
                        flush_task.include(at);
                        delivery.accepted += 1;
                    }
                    OfferResult::Busy(since) => busy_members.add(socket, frame, since),
                    OfferResult::Dropped => delivery.refused += 1,
                    OfferResult::Full | OfferResult::Closed => {
                        socket.leave_if_closed();
                        delivery.refused += 1;
                    }
                }
            }
            flush_task.spawn(runtime.as_ref());
        }
        // A message that cannot be encoded is an error even without recipients.
        forms.encode_any()?;
        busy_members.publish(runtime, &mut delivery).await;
        Ok(delivery)
    }

    fn includes(&self, socket: &WebSocket) -> bool {
        !self.except.contains(&socket.id()) && self.filter.as_ref().is_none_or(|keep| keep(socket))
    }
}

/// A message encoded once for each tag in use. Most servers use one tag.
pub(super) struct EncodedForms<E> {
    encode: E,
    known: Vec<(Tag, SharedFrame)>,
}

impl<E: Fn(&Tag) -> Result<SharedFrame, SendError>> EncodedForms<E> {
    pub(super) fn new(encode: E) -> Self {
        Self { encode, known: Vec::with_capacity(1) }
    }

    /// Encodes the message if no recipient needed it.
    fn encode_any(&mut self) -> Result<(), SendError> {
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
    /// Selects every other member of a room; this connection sends as a member.
    ///
    /// If the connection is not in the room when you send, you get [`SendError::NotMember`] and no
    /// message is sent. To send on behalf of the server, use [`Hub::room`](crate::Hub::room).
    /// Disconnect handlers may still send to the rooms that the connection was in when it ended.
    pub fn to(&self, room: impl AsRef<str>) -> Recipients {
        let (name, sender) = (room.as_ref().to_owned(), Some(self.clone()));
        let selector = Selector::Room { name, sender };
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
