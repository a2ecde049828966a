use aiows::routing::Routes;
use aiows::{Local, Result, WebSocket, message, routes};
use serde_json::{Value, json};

#[derive(Default)]
pub struct Score {
    points: u32,
}

#[message("hit")]
async fn hit(ws: WebSocket, mut score: Local<Score>) -> Result<Value> {
    score.points += 1;
    ws.send_text("hit").await?;
    Ok(json!({ "done": true }))
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![hit, other]
}
