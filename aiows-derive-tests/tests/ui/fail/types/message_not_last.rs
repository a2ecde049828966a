use aiows::{Message, WebSocket, message, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat {
    _text: String,
}

#[message("chat")]
async fn say(_: Chat, _: WebSocket) {}

fn main() {
    let _ = routes![say];
}
