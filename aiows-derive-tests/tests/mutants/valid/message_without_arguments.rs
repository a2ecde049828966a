use aiows::routing::Routes;
use aiows::{Message, message, routes};
use serde::Serialize;

#[derive(Message, Serialize)]
pub struct Pong;

#[message("ping")]
async fn ping() -> Pong {
    std::future::ready(()).await;
    Pong
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![ping, other]
}
