use serde::Serialize;

/// How many got something that was sent to many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Delivery {
    /// Connections in whose queue it is.
    pub accepted: usize,
    /// Connections that were closed, or had no room in their queues: the message was refused, or
    /// dropped as its policy says.
    pub refused: usize,
}
