//! What the client asks of a server.

use serde_json::{Value, json};

const TEXT: &str = "the quick brown fox jumps over the lazy dog, and over the fence.";

/// One kind of work at one level of concurrency.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Requests the client keeps unanswered on its connection.
    pub(crate) in_flight: usize,
    pub(crate) request: fn() -> String,
    /// Whether the first reply is the right one; the others must be of its length.
    pub(crate) is_reply: fn(&Value) -> bool,
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "typed@1", in_flight: 1, request: chat, is_reply: is_chat_response },
    Case { name: "typed@16", in_flight: 16, request: chat, is_reply: is_chat_response },
];

// Written out, because the type comes first in what a client library sends.
fn chat() -> String {
    format!(r#"{{"type":"chat","text":"{TEXT}","user_id":42}}"#)
}

fn is_chat_response(reply: &Value) -> bool {
    *reply == json!({"type": "chat_response", "echo": {"text": TEXT, "user_id": 42}})
}
