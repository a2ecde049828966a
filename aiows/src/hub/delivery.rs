//! The result of a send to many connections.

use serde::Serialize;

/// The result of a send to many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Delivery {
    /// The number of connections that queued the message.
    pub accepted: usize,
    /// The number of connections that did not take it: they were closed, or their queues were full
    /// and the overflow policy refused or dropped the message.
    pub refused: usize,
}
