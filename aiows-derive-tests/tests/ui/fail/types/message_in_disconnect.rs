use aiows::{Message, disconnect, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat;

#[disconnect]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
