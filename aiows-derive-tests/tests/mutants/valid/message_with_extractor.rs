use aiows::extract::{Call, Extraction, FromCall};
use aiows::routing::Routes;
use aiows::{Message, message, routes};
use serde::Deserialize;

pub struct Peer(pub String);

impl FromCall for Peer {
    fn from_call(call: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(Self(call.websocket().id().to_string())))
    }
}

#[derive(Message, Deserialize)]
pub struct Join {
    room: String,
}

#[message("join")]
async fn join(Peer(peer): Peer, join: Join) {
    std::future::ready(()).await;
    assert!(peer.is_ascii() || join.room.is_ascii());
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![join, other]
}
