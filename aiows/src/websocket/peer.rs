//! Facts about the client that are known before its first message.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::ContextMap;
use crate::handshake::RequestInfo;

/// Facts about the client that are known before its first message.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Empty if the connection is in memory. The address of a connection that another HTTP server
    /// accepted is set when that server hands it over.
    pub(crate) addr: OnceLock<SocketAddr>,
    /// The upgrade request; kept only if a handler of the router extracts something from it.
    pub(crate) request: Option<Arc<RequestInfo>>,
    /// The subprotocol that the handshake agreed on; shared with the server's list.
    pub(crate) subprotocol: Option<Arc<str>>,
    /// The values of the connection; handshake middleware may already have inserted some.
    pub(crate) context: ContextMap,
}
