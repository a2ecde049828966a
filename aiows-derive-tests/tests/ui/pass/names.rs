//! Handlers of one name in two modules, raw names, renamed imports, and names that the generated
//! code uses, too.
#![deny(warnings)]

use aiows::{Message, WebSocket, fallback, message, routes};
use serde::{Deserialize, Serialize};

mod lobby {
    #[aiows::message("lobby.say")]
    pub async fn say() {}
}

mod room {
    #[aiows::message("room.say")]
    pub async fn say() {}
}

#[derive(Deserialize, Message, Serialize)]
struct Option {
    field: u8,
    value: u8,
}

#[message("route")]
async fn route(call: WebSocket, meta: Option) -> Option {
    drop(call);
    meta
}

#[message("match")]
async fn r#match(_: Option) {}

#[fallback]
async fn outcome() {}

fn main() {
    use room::say as speak;

    let _ = routes![lobby::say, speak, route, r#match, self::outcome];
}
