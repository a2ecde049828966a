use aiows::{Message, WebSocket, message, routes};
use serde::Deserialize;

#[derive(Deserialize, Message)]
#[aiows(type = "chat")]
struct Chat {}

#[message("chta")]
async fn say(_ws: WebSocket, _chat: Chat) {}

fn main() {
    let _ = routes![say];
}
