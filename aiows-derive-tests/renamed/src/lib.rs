//! Uses `aiows` as `ws`: an expansion that names the crate itself does not compile here.

use serde::{Deserialize, Serialize};
use validator::Validate;
use ws::{Message, Router, WireNames, connect, disconnect, fallback, message, routes};

/// What is said, and by whom.
#[derive(Debug, Deserialize, Message, PartialEq, Serialize, Validate)]
#[aiows(crate = ws)]
pub struct Chat {
    /// Never empty.
    #[validate(length(min = 1))]
    pub text: String,
    /// Validated as a part of the message.
    #[validate(nested)]
    pub author: Author,
}

/// Who says it.
#[derive(Debug, Deserialize, PartialEq, Serialize, Validate, WireNames)]
#[aiows(crate = ws)]
pub struct Author {
    /// Called `nick` on the wire.
    #[serde(rename = "nick")]
    #[validate(length(min = 1))]
    pub name: String,
}

#[connect(crate = ws)]
async fn came() {}

#[message("chat", crate = ws)]
async fn say(chat: Chat) -> Chat {
    chat
}

#[fallback(crate = ws)]
async fn otherwise() {}

#[disconnect(crate = ::ws)]
async fn left() {}

/// A handler of each kind.
#[must_use]
pub fn router() -> Router {
    Router::new().routes(routes![came, say, otherwise, left])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn handlers_are_functions_under_any_name() {
        let chat = || Chat { text: "hello".to_owned(), author: Author { name: "ann".to_owned() } };
        assert_eq!(say(chat()).await, chat());
        assert_eq!(Chat::TYPE, "chat");
    }
}
