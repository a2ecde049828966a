//! The messages, and the manual decoding for the servers without aiows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use validator::Validate;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize, Serialize, Validate)]
struct Chat {
    #[validate(length(min = 1, max = 500))]
    text: String,
    user_id: u32,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Reply {
    ChatResponse { echo: Chat },
    Error { code: &'static str },
}

/// Returns the answer to `text`.
pub(super) fn reply(text: &str) -> serde_json::Result<String> {
    let reply = answer(text).unwrap_or_else(|code| Reply::Error { code });
    serde_json::to_string(&reply)
}

fn answer(text: &str) -> Result<Reply, &'static str> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| "invalid_json")?;
    match &*head.kind {
        "chat" => {
            let chat: Chat = serde_json::from_str(text).map_err(|_| "invalid_payload")?;
            chat.validate().map_err(|_| "validation_failed")?;
            Ok(Reply::ChatResponse { echo: chat })
        }
        _ => Err("unknown_type"),
    }
}
