//! The reports of the server process to the process of the clients, one JSON text per line.

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

/// The server's report about one connection, made by its disconnect handler.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ServerHalf {
    pub(crate) key: String,
    /// Handlers that returned or panicked. The client must receive one answer for each.
    pub(crate) finished: u64,
    /// Handlers that were dropped before they returned.
    pub(crate) cancelled: u64,
    /// Messages accepted for the client, both answers and broadcasts.
    pub(crate) queued: u64,
    /// The part of these messages that the server dropped.
    pub(crate) dropped: u64,
    pub(crate) reason: String,
}

/// Counters that must be zero when no client is connected.
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
