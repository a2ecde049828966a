//! The messages. Each contains 64 bytes of text.

use aiows::Message;
use serde::{Deserialize, Serialize};
use validator::Validate;

pub const CHAT: &str = r#"{"type":"chat","text":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","user_id":7}"#;
pub const REQUEST: &str = r#"{"type":"chat","id":12,"text":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","user_id":7}"#;
pub const TYPE_LAST: &str = r#"{"text":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","user_id":7,"type":"chat"}"#;
pub const OTHER: &str = r#"{"type":"other","text":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","user_id":7}"#;

#[derive(Message, Deserialize, Serialize, Validate)]
pub struct Chat {
    #[validate(length(min = 1, max = 500))]
    pub text: String,
    pub user_id: u32,
}

#[derive(Message, Serialize)]
pub struct ChatResponse {
    pub echo: Chat,
}
