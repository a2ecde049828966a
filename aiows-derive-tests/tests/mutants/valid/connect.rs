use aiows::routing::Routes;
use aiows::{Message, Result, State, WebSocket, connect, routes};
use serde::Serialize;

#[derive(Message, Serialize)]
pub struct Welcome {
    name: String,
}

#[connect]
async fn greet(ws: WebSocket, State(name): State<String>) -> Result<Welcome> {
    ws.send_text("hi").await?;
    Ok(Welcome { name: name.to_string() })
}

#[connect]
async fn other() {}

pub fn list() -> Routes {
    routes![greet, other]
}
