use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::ContextMap;
use crate::handshake::RequestInfo;

/// What is known of a peer before its first message.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Empty in memory, and for a hosted connection until its host hands it over.
    pub(crate) addr: OnceLock<SocketAddr>,
    /// Kept only for a router with a handler that asks for it.
    pub(crate) request: Option<Arc<RequestInfo>>,
    /// Shared with the server's list.
    pub(crate) subprotocol: Option<Arc<str>>,
    /// Begun by middleware that looked at the request.
    pub(crate) context: ContextMap,
}
