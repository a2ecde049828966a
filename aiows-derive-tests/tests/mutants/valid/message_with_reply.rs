use aiows::routing::Routes;
use aiows::{Message, Result, State, WebSocket, message, routes};
use serde::{Deserialize, Serialize};

#[derive(Clone)]
pub struct Log;

#[derive(Message, Deserialize)]
pub struct Chat {
    text: String,
}

#[derive(Message, Serialize)]
pub struct Said;

#[message("chat")]
async fn say(ws: WebSocket, State(_log): State<Log>, chat: Chat) -> Result<Said> {
    ws.send_text(&chat.text).await?;
    Ok(Said)
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![say, other]
}
