//! `#[cfg]` on a handler, on an argument and on an entry of the list.
#![deny(warnings)]

use aiows::{Message, WebSocket, message, routes};
use serde::Deserialize;

#[derive(Deserialize, Message)]
struct Chat {}

#[cfg(all())]
#[message("kept")]
async fn kept(#[cfg(all())] _first: WebSocket, #[cfg(any())] _second: Missing) {}

#[message("chat")]
async fn payload_before_what_is_gone(
    _chat: Chat,
    #[cfg(any())] _second: Missing,
    #[cfg(all())]
    #[cfg(any())]
    _third: Missing,
) {
}

#[message("other")]
async fn extractor_before_what_is_kept(_ws: WebSocket, #[cfg(all())] _chat: Chat) {}

#[aiows::connect]
#[cfg(any())]
async fn dropped(_: Missing) {}

fn main() {
    let _ = routes![
        #[cfg(any())]
        dropped,
        #[cfg(all())]
        kept,
        payload_before_what_is_gone,
        extractor_before_what_is_kept,
    ];
}
