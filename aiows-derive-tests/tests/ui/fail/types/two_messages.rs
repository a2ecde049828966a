use aiows::{Message, message, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Join;

#[derive(Message, Deserialize)]
struct Chat;

#[message("chat")]
async fn say(_: Join, _: Chat) {}

fn main() {
    let _ = routes![say];
}
