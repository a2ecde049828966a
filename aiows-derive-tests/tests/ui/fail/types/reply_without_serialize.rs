use aiows::{Message, message, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat {
    _text: String,
}

#[message("chat")]
async fn say(chat: Chat) -> Chat {
    chat
}

fn main() {
    let _ = routes![say];
}
