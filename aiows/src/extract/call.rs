//! One call of a handler: the connection, the state, and the stage of the connection's life that
//! the handler is called for.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::received::{Received, RequestId};
use crate::close::DisconnectReason;
use crate::codec::{decode, leading_type, read_head};
use crate::error::Result;
use crate::id::MessageId;
use crate::message::Incoming;
use crate::protocol::Inbound;
use crate::state::StateMap;
use crate::websocket::WebSocket;

/// One call of a handler: the connection, the application's state, and the message if there is one.
///
/// A `Call` is cheap to clone. Middleware receives it and passes it on; an extractor reads from it.
/// In a test you make one with `testing::TestCall`.
#[derive(Clone)]
pub struct Call {
    inner: Arc<Inner>,
}

struct Inner {
    /// Never changes in the life of a call.
    socket: WebSocket,
    /// The state of the router that registered the handler, over that of the server.
    state: Arc<StateMap>,
    /// Set by the session before each handler runs, and cleared after it.
    stage: Stage,
}

/// The event that a handler is called for.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Connect,
    Disconnect(DisconnectReason, Arc<DisconnectTime>),
    Message(Received),
    /// The `Call` is between two handlers and will be used again.
    None,
}

/// The time limit of the disconnect handlers that run inside of the same middleware.
#[derive(Debug)]
pub(crate) struct DisconnectTime {
    /// The timeout of each handler.
    of_each: Duration,
    /// Set when a shutdown has cut the connection: from then on no handler may wait any more.
    is_over: AtomicBool,
}

impl DisconnectTime {
    pub(crate) fn new(of_each: Duration) -> Arc<Self> {
        Arc::new(Self { of_each, is_over: AtomicBool::new(false) })
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Stage {
    /// Drops the message, and returns its id.
    fn end(&mut self) -> Option<MessageId> {
        let id = match self {
            Self::Message(received) => received.id.take(),
            Self::Connect | Self::Disconnect(..) | Self::None => None,
        };
        *self = Self::None;
        id
    }
}

impl Call {
    pub(crate) fn new(socket: WebSocket, state: Arc<StateMap>, stage: Stage) -> Self {
        Self { inner: Arc::new(Inner { socket, state, stage }) }
    }

    /// Begins the call of a message handler. A `spare` call saves an allocation.
    pub(crate) fn begin(
        spare: Option<Self>,
        socket: &WebSocket,
        state: &Arc<StateMap>,
        received: Received,
    ) -> Self {
        socket.begin_handling();
        let stage = Stage::Message(received);
        if let Some(mut call) = spare
            && let Some(inner) = Arc::get_mut(&mut call.inner)
        {
            inner.stage = stage;
            if !Arc::ptr_eq(&inner.state, state) {
                inner.state = Arc::clone(state);
            }
            return call;
        }
        Self::new(socket.clone(), Arc::clone(state), stage)
    }

    /// Ends the call of a message handler, and drops the message. Returns the id of a request
    /// without a reply so far.
    ///
    /// # Errors
    ///
    /// Returns the error of the message's head if no code has read it. The call goes on then.
    pub(crate) fn end(&mut self) -> Result<Option<MessageId>> {
        let replied = self.websocket().end_handling(self.request_id()?);
        // A call that was allocated beside a large buffer is not used again, see `Inbox::pop`.
        let is_large = self.inbound().is_some_and(Inbound::is_large);
        let id = match Arc::get_mut(&mut self.inner).filter(|_| !is_large) {
            Some(inner) => inner.stage.end(),
            None => self.id().cloned(),
        };
        Ok(id.filter(|_| !replied))
    }

    /// Whether the call has ended and can be used for the next message.
    pub(crate) fn is_spare(&self) -> bool {
        matches!(self.inner.stage, Stage::None)
    }

    /// Returns the connection.
    #[must_use]
    pub fn websocket(&self) -> &WebSocket {
        &self.inner.socket
    }

    /// Returns a clone of the state of type `T`: that of the router if it has one, otherwise that
    /// of the server.
    #[must_use]
    pub fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.inner.state.get()
    }

    /// Returns the message as text.
    ///
    /// Returns `None` in connect and disconnect handlers, and for bytes that are not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.inbound()?.as_text()
    }

    /// Returns the message type.
    ///
    /// Returns `None` outside of message handlers, and for a text that has no message type.
    #[must_use]
    pub fn message_type(&self) -> Option<Cow<'_, str>> {
        let (tag, text) = (self.inner.socket.tag(), self.text()?);
        match leading_type(tag, text) {
            Some(message_type) => Some(Cow::Borrowed(message_type)),
            None => read_head(tag, text).ok().map(|head| head.message_type),
        }
    }

    /// Returns the request id of the message, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.request_id().ok().flatten()
    }

    /// Returns the request id of the message, and reads the head if that has not been done yet.
    ///
    /// # Errors
    ///
    /// Returns the error of the head. It stays unread, so that the error is reported again.
    pub(crate) fn request_id(&self) -> Result<Option<&MessageId>> {
        let Stage::Message(received) = &self.inner.stage else {
            return Ok(None);
        };
        match received.id.get() {
            RequestId::Present(id) => Ok(Some(id)),
            RequestId::Absent => Ok(None),
            RequestId::Unread => self.read_id(received),
        }
    }

    #[cold]
    fn read_id<'a>(&self, received: &'a Received) -> Result<Option<&'a MessageId>> {
        if let Some(text) = received.inbound.as_text() {
            received.id.set(read_head(self.inner.socket.tag(), text)?.id);
        }
        match received.id.get() {
            RequestId::Present(id) => Ok(Some(id)),
            RequestId::Absent | RequestId::Unread => Ok(None),
        }
    }

    /// Decodes and validates the message as a `T`.
    ///
    /// # Errors
    ///
    /// Returns the error that the client receives: `invalid_json`, `invalid_message`,
    /// `invalid_payload` or `validation_failed`. Outside of message handlers it is an internal
    /// error.
    pub fn payload<T: Incoming>(&self) -> Result<T> {
        let Stage::Message(received) = &self.inner.stage else {
            return Err("there is no message to decode outside of message handlers".into());
        };
        let Some(text) = received.inbound.as_text() else {
            return Err("the message is not text".into());
        };
        let (payload, id) = decode::<T>(self.inner.socket.tag(), text)?;
        received.id.set(id);
        payload.validate()?;
        Ok(payload)
    }

    /// Returns a copy of the call with another text, for middleware that rewrites messages.
    ///
    /// The message still goes to the handler that was chosen for the original text, and the answer
    /// to the request id of the original. Outside of message handlers the copy is unchanged.
    ///
    /// ```
    /// use aiows::middleware::from_fn;
    /// # use aiows::Router;
    ///
    /// let polite = from_fn(|call, next| async move {
    ///     let text = call.text().map(|text| text.replace("darn", "****"));
    ///     match text {
    ///         Some(text) => next.run(call.with_text(text)).await,
    ///         None => next.run(call).await,
    ///     }
    /// });
    /// # let _: Router = Router::new().middleware(polite);
    /// ```
    #[must_use]
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        let stage = match &self.inner.stage {
            Stage::Message(_) => {
                let id = self.id().cloned().into();
                Stage::Message(Received::new(Inbound::text(text.into()), id))
            }
            other => other.clone(),
        };
        Self::new(self.inner.socket.clone(), Arc::clone(&self.inner.state), stage)
    }

    /// Returns the same call with another state, for a handler of another router.
    pub(crate) fn with_state(&self, state: &Arc<StateMap>) -> Self {
        if Arc::ptr_eq(&self.inner.state, state) {
            return self.clone();
        }
        Self::new(self.inner.socket.clone(), Arc::clone(state), self.inner.stage.clone())
    }

    pub(crate) fn inbound(&self) -> Option<&Inbound> {
        match &self.inner.stage {
            Stage::Message(received) => Some(&received.inbound),
            Stage::Connect | Stage::Disconnect(..) | Stage::None => None,
        }
    }

    fn time(&self) -> Option<&DisconnectTime> {
        match &self.inner.stage {
            Stage::Disconnect(_, time) => Some(time),
            Stage::Connect | Stage::Message(_) | Stage::None => None,
        }
    }

    /// Returns the time that each disconnect handler has.
    pub(crate) fn disconnect_timeout(&self) -> Duration {
        self.time().map_or(Duration::MAX, |time| time.of_each)
    }

    /// Runs a part of the call. Returns `None` if the part would wait although the time of the
    /// disconnect handlers is over.
    pub(crate) async fn run_in_time<T>(&self, part: impl Future<Output = T>) -> Option<T> {
        let mut part = pin!(part);
        poll_fn(|cx| match part.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending
                if self.time().is_some_and(|time| time.is_over.load(Ordering::Relaxed)) =>
            {
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(crate) fn disconnect_reason(&self) -> Option<&DisconnectReason> {
        match &self.inner.stage {
            Stage::Disconnect(reason, _) => Some(reason),
            Stage::Connect | Stage::Message(_) | Stage::None => None,
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("socket", &self.inner.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Tag;
    use crate::hub::Hub;
    use crate::limits::Limits;
    use crate::outbox::Outbox;
    use crate::websocket::Peer;

    fn socket() -> WebSocket {
        let (_, namespace) = Hub::with_default_rules();
        let outbox = Outbox::new(&Limits::default(), Arc::default());
        WebSocket::new(outbox, Peer::default(), Tag::default(), namespace.registry())
    }

    fn begin(spare: Option<Call>, size: usize) -> Call {
        let received = Received::new(Inbound::text("x".repeat(size)), RequestId::Absent);
        Call::begin(spare, &socket(), &Arc::default(), received)
    }

    #[test]
    fn a_call_is_used_again_unless_it_is_shared_or_its_message_was_large() {
        let mut call = begin(None, 64 << 10);
        assert!(!call.is_spare());
        call.end().unwrap();
        assert!(call.is_spare());
        let first = Arc::as_ptr(&call.inner);
        let mut call = begin(Some(call), (64 << 10) + 1);
        assert_eq!(Arc::as_ptr(&call.inner), first);
        call.end().unwrap();
        assert!(!call.is_spare());
        let mut call = begin(None, 1);
        let shared = call.clone();
        call.end().unwrap();
        assert_eq!((call.is_spare(), shared.text()), (false, Some("x")));
        let first = Arc::as_ptr(&call.inner);
        let other = begin(Some(call), 2);
        assert_ne!(Arc::as_ptr(&other.inner), first);
        assert_eq!((other.text(), shared.text()), (Some("xx"), Some("x")));
    }
}
