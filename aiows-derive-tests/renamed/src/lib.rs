//! Uses the framework as `ws`. Generated code that contains its real name does not compile here.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Sender;
use validator::Validate;
use ws::{
    DisconnectReason, HandlerError, Message, Router, State, WireNames, connect, disconnect,
    fallback, message, router,
};

/// A chat message and its author.
#[derive(Debug, Deserialize, Message, PartialEq, Serialize, Validate)]
#[aiows(crate = ws)]
pub struct Chat {
    /// The text, which must not be empty.
    #[validate(length(min = 1))]
    pub text: String,
    /// The author, validated as a part of the message.
    #[validate(nested)]
    pub author: Author,
}

/// The author of a chat message.
#[derive(Debug, Deserialize, PartialEq, Serialize, Validate, WireNames)]
#[aiows(crate = ws)]
pub struct Author {
    /// The name, which is called `nick` on the wire.
    #[serde(rename = "nick")]
    #[validate(length(min = 1))]
    pub name: String,
}

/// The greeting for every client.
#[derive(Debug, Deserialize, Message, PartialEq, Serialize)]
#[aiows(type = "room.welcome", crate = ws)]
pub struct Welcome;

#[connect(crate = ws)]
async fn came() -> Welcome {
    Welcome
}

#[message("chat", crate = ws)]
async fn say(chat: Chat) -> Chat {
    chat
}

#[fallback(crate = ws)]
async fn otherwise() -> Result<(), HandlerError> {
    Err(HandlerError::new("not_here", "try another server"))
}

#[disconnect(crate = ::ws)]
async fn left(State(left): State<Left>, reason: DisconnectReason) {
    // The receiver is gone if the test has failed.
    let _ = left.send(reason.to_string()).await;
}

#[router(crate = ws)]
mod clock {
    #[ws::message("tick", crate = ws)]
    async fn tick() -> super::Welcome {
        super::Welcome
    }
}

/// Receives the reason each time a client leaves.
pub type Left = Sender<String>;

/// Returns a router with a handler of each kind.
pub fn router(left: Left) -> Router {
    let own = Router::new().routes(ws::routes![came, say, otherwise, left]);
    own.include(clock::router()).state(left)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use ws::testing::TestServer;

    use super::*;

    fn chat(text: &str, name: &str) -> Chat {
        Chat { text: text.to_owned(), author: Author { name: name.to_owned() } }
    }

    #[tokio::test]
    async fn handlers_are_functions_under_any_name() {
        assert_eq!(say(chat("hello", "ann")).await, chat("hello", "ann"));
        assert_eq!((Chat::TYPE, Welcome::TYPE), ("chat", "room.welcome"));
    }

    #[tokio::test]
    async fn every_kind_of_handler_works_under_any_name() {
        let (left, mut reasons) = mpsc::channel(1);
        let server = TestServer::new(router(left));
        let mut client = server.connect().await;
        assert_eq!(client.recv::<Welcome>().await, Welcome);
        client.send(&chat("hello", "ann")).await;
        assert_eq!(client.recv::<Chat>().await, chat("hello", "ann"));
        client.send_text(r#"{"type":"tick"}"#).await;
        assert_eq!(client.recv::<Welcome>().await, Welcome);
        client.send_text(r#"{"type":"chat","text":"","author":{"nick":""}}"#).await;
        let field = |path| {
            format!(
                r#"{{"path":"{path}","code":"length","message":"has a length out of bounds","params":{{"min":1}}}}"#
            )
        };
        let expected = format!(
            r#"{{"type":"error","code":"validation_failed","message":"the message is not valid","message_type":"chat","fields":[{},{}]}}"#,
            field("author.nick"),
            field("text"),
        );
        assert_eq!(client.recv_text().await, expected);
        client.send_text(r#"{"type":"dance"}"#).await;
        let expected = r#"{"type":"error","code":"not_here","message":"try another server","message_type":"dance"}"#;
        assert_eq!(client.recv_text().await, expected);
        client.close(1000, "bye").await;
        let reason = reasons.recv().await.unwrap();
        assert_eq!(reason, "closed by peer (1000): bye");
    }
}
