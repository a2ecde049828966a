//! Handlers with opaque return types.
#![deny(warnings)]

use aiows::messages::Outgoing;
use aiows::routing::IntoOutcome;
use aiows::{Message, message, routes};
use serde::Serialize;

#[derive(Message, Serialize)]
struct Pong;

#[message("ping")]
async fn ping() -> impl Outgoing {
    Pong
}

#[message("maybe")]
async fn maybe() -> aiows::Result<Option<impl Message + Serialize>> {
    Ok(Some(Pong))
}

#[message("any")]
async fn any() -> impl IntoOutcome {}

fn main() {
    let _ = routes![ping, maybe, any];
}
