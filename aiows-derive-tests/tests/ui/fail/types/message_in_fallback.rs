use aiows::{Message, fallback, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat;

#[fallback]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
