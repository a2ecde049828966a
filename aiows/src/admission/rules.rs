use std::sync::Arc;

use super::paths::Paths;
use crate::handshake::Origins;
use crate::limits::Limits;

/// The rules by which a server admits connections, frozen at its build.
pub(crate) struct AdmissionRules {
    pub(crate) paths: Paths,
    /// The limits of the server, from which those of a route may differ.
    pub(crate) limits: Arc<Limits>,
    pub(crate) origins: Origins,
    /// Set if an HTTP application answers requests that are not for a WebSocket.
    #[cfg(feature = "axum")]
    pub(crate) has_http: bool,
}
