//! A router and its handlers, ready for dispatch.

use std::fmt;
use std::sync::Arc;

use super::request_needs::RequestNeeds;
use crate::codec::Tag;
use crate::error::HandlerError;
use crate::extract::Need;
use crate::handler::{Kind, Route, Run};
use crate::handshake::Subprotocols;
use crate::hub::Namespace;
use crate::limits::Limits;
use crate::middleware::{ErrorHooks, HandshakeHooks};
use crate::protocol::Inbound;
use crate::state::StateMap;
use crate::websocket::WebSocket;

/// A router after the build. It is immutable, so sessions read it without locks.
pub(crate) struct CompiledRouter {
    /// The namespace that the connections belong to.
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) connect: Vec<CompiledHandler>,
    pub(crate) disconnect: Vec<CompiledHandler>,
    /// The `always` disconnect handlers for connections that were not admitted, without middleware.
    pub(crate) refused: Vec<CompiledHandler>,
    /// Sorted by message type. Comparing a few short texts is faster than hashing one.
    pub(super) messages: Vec<(Box<str>, CompiledHandler)>,
    pub(super) fallback: Option<CompiledHandler>,
    /// The fallbacks of nested routers with their prefixes, the longest prefix first.
    nested: Vec<(Box<str>, CompiledHandler)>,
    pub(crate) tag: Tag,
    /// The path parameter that names a room to join.
    pub(crate) room: Option<String>,
    pub(crate) request_needs: RequestNeeds,
    pub(crate) limits: Arc<Limits>,
    pub(crate) subprotocols: Subprotocols,
    pub(crate) handshake: HandshakeHooks,
    /// The hooks for errors that belong to no handler, and the state those hooks see.
    pub(crate) errors: ErrorHooks,
    pub(crate) state: Arc<StateMap>,
}

/// One handler, ready to be called.
pub(crate) struct CompiledHandler {
    pub(crate) title: String,
    pub(crate) run: Run,
    pub(crate) state: Arc<StateMap>,
    /// Whether it decodes the payload, which checks the whole text. For other handlers the head is
    /// read before the call.
    pub(super) decodes: bool,
    /// Whether it is a group of connect or disconnect handlers with the middleware around them. The
    /// members of a group are logged and timed one by one.
    pub(crate) is_group: bool,
    pub(crate) errors: ErrorHooks,
    /// The frames it takes in addition to messages.
    pub(super) frames: Frames,
}

/// The frame that reports an error to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    ErrorFrame,
    /// Only the close frame, because an error frame would become part of another protocol's stream.
    Close,
}

/// The kinds of frames that a handler receives unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    None,
    Text,
    All,
}

impl Frames {
    /// Returns the frames that the arguments of a fallback declare.
    pub(super) fn of(route: &Route) -> Self {
        let has = |need| *route.kind() == Kind::Fallback && route.needs().has(need);
        match (has(&Need::AnyFrame), has(&Need::AnyText)) {
            (true, _) => Self::All,
            (false, true) => Self::Text,
            (false, false) => Self::None,
        }
    }
}

impl CompiledHandler {
    /// Whether it receives unchanged frames, which are never requests and are not acknowledged.
    pub(crate) fn is_relay(&self) -> bool {
        self.frames != Frames::None
    }

    /// Returns how an error of the handler is reported.
    pub(crate) fn report(&self) -> Report {
        if self.is_relay() { Report::Close } else { Report::ErrorFrame }
    }

    pub(super) fn takes(&self, inbound: &Inbound) -> bool {
        self.frames == Frames::All || inbound.as_text().is_some()
    }

    /// Logs the error of a handler. The client's own mistakes are only logged at the debug level.
    pub(crate) fn log(&self, error: &HandlerError, socket: &WebSocket) {
        let (connection, handler) = (socket.id(), &self.title);
        match error.error_id() {
            Some(error_id) => {
                tracing::error!(%connection, %handler, error_id, %error, "handler failed")
            }
            None if error.is_closed() => {
                tracing::debug!(%connection, %handler, "the client left while its handler was sending");
            }
            None => tracing::debug!(%connection, %handler, %error, "handler refused"),
        }
    }
}

impl fmt::Debug for CompiledHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledHandler").field("title", &self.title).finish_non_exhaustive()
    }
}

impl fmt::Debug for CompiledRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledRouter")
            .field("connect", &self.connect)
            .field("disconnect", &self.disconnect)
            .field("messages", &self.messages)
            .field("fallback", &self.fallback)
            .field("nested", &self.nested)
            .finish_non_exhaustive()
    }
}

impl CompiledRouter {
    pub(super) fn new(namespace: Arc<Namespace>, tag: Tag) -> Self {
        Self {
            namespace,
            connect: Vec::new(),
            disconnect: Vec::new(),
            refused: Vec::new(),
            messages: Vec::new(),
            fallback: None,
            nested: Vec::new(),
            tag,
            room: None,
            request_needs: RequestNeeds::default(),
            limits: Arc::default(),
            subprotocols: Subprotocols::default(),
            handshake: HandshakeHooks::default(),
            errors: ErrorHooks::default(),
            state: Arc::default(),
        }
    }

    /// Adds the handler of a message type that has none yet.
    pub(super) fn add_message(&mut self, message_type: &str, handler: CompiledHandler) {
        let at = self.messages.partition_point(|(known, _)| **known < *message_type);
        self.messages.insert(at, (message_type.into(), handler));
    }

    /// Adds the fallback of a prefix that has none yet. The empty prefix stands for the whole
    /// router.
    pub(super) fn add_fallback(&mut self, prefix: &str, handler: CompiledHandler) {
        if prefix.is_empty() {
            self.fallback = Some(handler);
            return;
        }
        let at = self.nested.partition_point(|(known, _)| known.len() >= prefix.len());
        self.nested.insert(at, (prefix.into(), handler));
    }

    pub(super) fn fallback_of(&self, message_type: &str) -> Option<&CompiledHandler> {
        let nested = self.nested.iter().find(|(prefix, _)| message_type.starts_with(&**prefix));
        nested.map(|(_, handler)| handler).or(self.fallback.as_ref())
    }

    /// Returns the fallback if it takes frames that are not messages. Such frames have no prefix.
    pub(crate) fn relay(&self) -> Option<&CompiledHandler> {
        self.fallback.as_ref().filter(|handler| handler.is_relay())
    }

    /// Returns `true` if the relay is the only handler of messages, so that no frame has to be
    /// parsed.
    pub(crate) fn only_relays(&self) -> bool {
        self.messages.is_empty() && self.nested.is_empty() && self.relay().is_some()
    }
}
