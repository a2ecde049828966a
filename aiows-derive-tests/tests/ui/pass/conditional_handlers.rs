//! Handlers, arguments and entries of the list with `#[cfg]`.
#![deny(warnings)]

use aiows::{Message, WebSocket, message, routes};
use serde::Deserialize;

#[derive(Deserialize, Message)]
struct Chat {}

#[cfg(all())]
#[message("kept")]
async fn kept(#[cfg(all())] _first: WebSocket, #[cfg(any())] _second: Missing) {}

#[message("chat")]
async fn payload_before_removed_arguments(
    _chat: Chat,
    #[cfg(any())] _second: Missing,
    #[cfg(all())]
    #[cfg(any())]
    _third: Missing,
) {
}

#[message("other")]
async fn extractor_before_a_kept_argument(_ws: WebSocket, #[cfg(all())] _chat: Chat) {}

#[aiows::connect]
#[cfg(any())]
async fn dropped(_: Missing) {}

fn main() {
    let _ = routes![
        #[cfg(any())]
        dropped,
        #[cfg(all())]
        kept,
        payload_before_removed_arguments,
        extractor_before_a_kept_argument,
    ];
}
