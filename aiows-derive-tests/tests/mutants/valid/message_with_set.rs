use aiows::routing::Routes;
use aiows::{Message, RawMessage, message, routes};
use serde::Serialize;

#[derive(Message, Serialize)]
pub struct Found {
    size: usize,
}

#[derive(Message, Serialize)]
pub struct Missing;

#[derive(Message)]
pub enum Answer {
    Found(Found),
    Missing(Missing),
}

#[message("find")]
async fn find(raw: RawMessage) -> Answer {
    std::future::ready(()).await;
    match raw.message_type().len() {
        0 => Answer::Missing(Missing),
        size => Answer::Found(Found { size }),
    }
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![find, other]
}
