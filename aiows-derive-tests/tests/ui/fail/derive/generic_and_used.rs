use aiows::{Message, message, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat<T = u8> {
    _text: T,
}

#[message("chat")]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
