//! `#[cfg]` on a handler, on an argument and on an entry of the list.
#![deny(warnings)]

use aiows::{WebSocket, message, routes};

#[cfg(all())]
#[message("kept")]
async fn kept(#[cfg(all())] _first: WebSocket, #[cfg(any())] _second: Missing) {}

#[aiows::connect]
#[cfg(any())]
async fn dropped(_: Missing) {}

fn main() {
    let _ = routes![
        #[cfg(any())]
        dropped,
        #[cfg(all())]
        kept,
    ];
}
