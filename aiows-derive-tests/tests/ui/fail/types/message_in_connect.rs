use aiows::{Message, connect, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat {
    _text: String,
}

#[connect]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
