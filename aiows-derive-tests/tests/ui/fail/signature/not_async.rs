use aiows::{Message, message, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat {
    _text: String,
}

#[message("chat")]
fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
