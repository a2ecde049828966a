use aiows::{message, routes};
use serde::Deserialize;

#[derive(Deserialize)]
struct Chat {
    _text: String,
}

#[message("chat")]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
