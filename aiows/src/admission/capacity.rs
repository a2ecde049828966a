use std::sync::Arc;

use tokio::sync::Semaphore;

use super::half_open::Handshakes;
use crate::limits::Limits;

/// The capacity of a server for connections that are not admitted.
///
/// Admitted connections hold a [`ConnectionPermit`](crate::shutdown::ConnectionPermit), which the
/// stop of the server waits for.
pub(super) struct Permits {
    pub(super) handshakes: Arc<Handshakes>,
    /// Bounds the refused clients that still read their answers.
    pub(super) lingering: Semaphore,
}

impl Permits {
    pub(super) fn new(limits: &Limits) -> Self {
        let handshakes = limits.handshakes.min(Semaphore::MAX_PERMITS);
        let lingering = Semaphore::new(handshakes);
        Self { handshakes: Arc::new(Handshakes::new(handshakes)), lingering }
    }
}
