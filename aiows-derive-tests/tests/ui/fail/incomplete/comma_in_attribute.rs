use aiows::{Message, WebSocket, message, routes};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Message, Serialize)]
struct Chat {
    text: String,
}

#[message("first")]
async fn first(_ws: WebSocket, chat: Chat) -> Chat {
    chat
}

#[message("say", )]
async fn say(chat: ) {}

#[message("last")]
async fn last(ws: WebSocket, chat: Chat) -> aiows::Result {
    ws.send(&chat).await?;
    Ok(())
}

fn main() {
    let _ = routes![first, say, last];
}
