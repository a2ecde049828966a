use std::sync::Arc;

use tokio::sync::Semaphore;

use super::half_open::Handshakes;
use crate::limits::Limits;
use crate::shutdown::ConnectionPermits;

/// The capacity of a server.
pub(super) struct Permits {
    pub(super) connections: Arc<ConnectionPermits>,
    pub(super) handshakes: Arc<Handshakes>,
    /// Bounds the refused clients that still read their answers.
    pub(super) lingering: Semaphore,
}

impl Permits {
    pub(super) fn new(connections: Arc<ConnectionPermits>, limits: &Limits) -> Self {
        let handshakes = limits.handshakes.min(Semaphore::MAX_PERMITS);
        let lingering = Semaphore::new(handshakes);
        Self { connections, handshakes: Arc::new(Handshakes::new(handshakes)), lingering }
    }
}
