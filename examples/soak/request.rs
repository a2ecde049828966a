//! The requests of the clients and the answers that they expect.

use serde::Deserialize;
use serde_json::{Value, json};

/// A message with an id.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join(String),
    Add(u64, u64),
    /// The handler sleeps.
    Wait(u64),
    /// The handler panics.
    Panic,
    /// The handler never returns.
    Hang,
    /// The handler publishes `count` messages with consecutive numbers.
    Publish {
        room: String,
        first: u64,
        count: u64,
    },
    /// The answer contains this many bytes of data.
    Bulk(u64),
}

/// A message from the server.
#[derive(Debug, Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) correlation_id: Option<u64>,
    pub(crate) code: Option<&'a str>,
    pub(crate) value: Option<u64>,
    pub(crate) source: Option<&'a str>,
    pub(crate) seq: Option<u64>,
}

impl Request {
    pub(crate) fn encode(&self, id: u64) -> String {
        self.to_json(id).to_string()
    }

    fn to_json(&self, id: u64) -> Value {
        match self {
            Self::Join(room) => json!({"type": "join", "id": id, "room": room}),
            Self::Add(a, b) => json!({"type": "add", "id": id, "a": a, "b": b}),
            Self::Wait(millis) => json!({"type": "wait", "id": id, "millis": millis}),
            Self::Panic => json!({"type": "panic", "id": id}),
            Self::Hang => json!({"type": "hang", "id": id}),
            Self::Publish { room, first, count } => {
                json!({"type": "publish", "id": id, "room": room, "first": first, "count": count})
            }
            Self::Bulk(size) => json!({"type": "bulk", "id": id, "size": size}),
        }
    }

    /// Returns whether `answer` is the right answer, without a check of its id.
    pub(crate) fn is_answered_by(&self, answer: &Incoming<'_>) -> bool {
        let (kind, value) = match self {
            Self::Join(_) => ("joined", None),
            Self::Add(a, b) => ("sum", Some(a + b)),
            Self::Wait(millis) => ("waited", Some(*millis)),
            Self::Panic => return answer.kind == "error" && answer.code == Some("internal"),
            Self::Hang => return false,
            Self::Publish { count, .. } => ("published", Some(*count)),
            Self::Bulk(size) => ("data", Some(*size)),
        };
        answer.kind == kind && answer.value == value
    }
}
