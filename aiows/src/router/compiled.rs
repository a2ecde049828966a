use std::fmt;
use std::sync::Arc;

use super::request_needs::RequestNeeds;
use crate::codec::Tag;
use crate::error::HandlerError;
use crate::handler::Run;
use crate::handshake::Subprotocols;
use crate::hub::Namespace;
use crate::limits::Limits;
use crate::middleware::{ErrorHooks, HandshakeHooks};
use crate::protocol::Inbound;
use crate::state::StateMap;
use crate::websocket::WebSocket;

/// A router after the build: never changed, read without locks.
pub(crate) struct CompiledRouter {
    /// Whose rooms the connections join.
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) connect: Vec<CompiledHandler>,
    pub(crate) disconnect: Vec<CompiledHandler>,
    /// The disconnect handlers of connections that were not admitted, without middleware.
    pub(crate) refused: Vec<CompiledHandler>,
    /// Sorted by message type: a search compares a few short texts, which beats hashing one.
    messages: Vec<(Box<str>, CompiledHandler)>,
    pub(super) fallback: Option<CompiledHandler>,
    /// The fallbacks of nested routers by their prefixes, the longest prefix first.
    nested: Vec<(Box<str>, CompiledHandler)>,
    pub(crate) tag: Tag,
    /// The parameter of the path that names a room to join.
    pub(crate) room: Option<String>,
    pub(crate) request_needs: RequestNeeds,
    pub(crate) limits: Arc<Limits>,
    pub(crate) subprotocols: Subprotocols,
    pub(crate) handshake: HandshakeHooks,
    /// What failures without a handler are seen by, and the state they are seen with.
    pub(crate) errors: ErrorHooks,
    pub(crate) state: Arc<StateMap>,
}

/// One handler, ready to be called.
pub(crate) struct CompiledHandler {
    pub(crate) title: String,
    pub(crate) run: Run,
    pub(crate) state: Arc<StateMap>,
    /// Decoding the payload checks the whole text; any other handler needs that done before.
    pub(crate) decodes: bool,
    /// Whether middleware stands in `run`, which sees sound messages only.
    pub(crate) is_layered: bool,
    /// Whether it stands for connect or disconnect handlers and the middleware around them, which are named
    /// and timed one by one.
    pub(crate) is_group: bool,
    pub(crate) errors: ErrorHooks,
    /// The frames it takes besides messages.
    pub(super) frames: Frames,
}

/// The frames that a handler takes as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    None,
    Text,
    All,
}

impl CompiledHandler {
    /// Whether it takes frames as they came, which are never requests and are not acknowledged.
    pub(crate) fn is_relay(&self) -> bool {
        self.frames != Frames::None
    }

    pub(crate) fn takes(&self, inbound: &Inbound) -> bool {
        self.frames == Frames::All || inbound.as_text().is_some()
    }

    /// Logs why the handler failed; the peer's own mistakes are no news.
    pub(crate) fn log(&self, error: &HandlerError, socket: &WebSocket) {
        let (connection, handler) = (socket.id(), &self.title);
        match error.error_id() {
            Some(error_id) => {
                tracing::error!(%connection, %handler, error_id, %error, "handler failed")
            }
            None if error.is_closed() => {
                tracing::debug!(%connection, %handler, "the peer left while its handler was sending");
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

/// Where a message goes.
#[derive(Debug)]
pub(crate) enum RouteMatch<'a> {
    Fallback(&'a CompiledHandler),
    Message(&'a CompiledHandler),
    Unknown,
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
    pub(super) fn add_message(&mut self, message_type: &str, endpoint: CompiledHandler) {
        if let Err(at) = self.search(message_type) {
            self.messages.insert(at, (message_type.into(), endpoint));
        }
    }

    /// Adds the fallback of a prefix that has none yet; the empty one is that of the whole router.
    pub(super) fn add_fallback(&mut self, prefix: &str, endpoint: CompiledHandler) {
        if prefix.is_empty() {
            self.fallback = Some(endpoint);
            return;
        }
        let at = self.nested.partition_point(|(known, _)| known.len() >= prefix.len());
        self.nested.insert(at, (prefix.into(), endpoint));
    }

    fn fallback_of(&self, message_type: &str) -> Option<&CompiledHandler> {
        let nested = self.nested.iter().find(|(prefix, _)| message_type.starts_with(&**prefix));
        nested.map(|(_, endpoint)| endpoint).or(self.fallback.as_ref())
    }

    fn search(&self, message_type: &str) -> Result<usize, usize> {
        self.messages.binary_search_by(|(known, _)| (**known).cmp(message_type))
    }

    pub(crate) fn target(&self, message_type: &str) -> RouteMatch<'_> {
        match self.search(message_type) {
            Ok(at) => RouteMatch::Message(&self.messages[at].1),
            Err(_) => {
                self.fallback_of(message_type).map_or(RouteMatch::Unknown, RouteMatch::Fallback)
            }
        }
    }

    /// The fallback, if it takes frames that are no messages; these carry no prefix.
    pub(crate) fn relay(&self) -> Option<&CompiledHandler> {
        self.fallback.as_ref().filter(|endpoint| endpoint.is_relay())
    }

    /// Whether the relay is the only message handler, so that no frame is read as a message.
    pub(crate) fn only_relays(&self) -> bool {
        self.messages.is_empty() && self.nested.is_empty() && self.relay().is_some()
    }
}
