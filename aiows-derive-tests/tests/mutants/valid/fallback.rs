use aiows::routing::Routes;
use aiows::{Result, Text, WebSocket, fallback, message, routes};

#[fallback]
async fn relay(ws: WebSocket, Text(text): Text) -> Result {
    ws.send_text(&text).await?;
    Ok(())
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![relay, other]
}
