use std::net::SocketAddr;
use std::sync::Arc;

use super::ContextMap;
use crate::transport::RequestInfo;

/// What is known of a peer before its first message.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) addr: Option<SocketAddr>,
    /// Kept only for a router with a handler that asks for it.
    pub(crate) request: Option<Arc<RequestInfo>>,
    /// Shared with the server's list.
    pub(crate) subprotocol: Option<Arc<str>>,
    /// Begun by middleware that looked at the request.
    pub(crate) context: ContextMap,
}
