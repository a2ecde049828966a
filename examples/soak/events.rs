//! What the server process reports to the clients' process, one JSON text per line.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The server accepts connections.
    Listening,
    /// A disconnect handler has run.
    Ended(ServerHalf),
    /// The answer to a line on standard input.
    Counters(Counters),
}

/// What the server knows about one connection when its disconnect handler runs.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ServerHalf {
    pub(crate) key: String,
    /// Handlers that returned or panicked: the client is owed an answer of each.
    pub(crate) finished: u64,
    /// Handlers that were dropped before they returned.
    pub(crate) cancelled: u64,
    /// Messages that were accepted for the client, answers and broadcasts.
    pub(crate) queued: u64,
    /// Messages of these that were given up.
    pub(crate) dropped: u64,
    pub(crate) reason: String,
}

/// Counters that must be zero when nobody is connected.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Counters {
    pub(crate) active: usize,
    pub(crate) rooms: usize,
    pub(crate) users: usize,
    /// Handlers that are running.
    pub(crate) handlers: usize,
    /// Messages that wait to be written.
    pub(crate) pending: u64,
}
