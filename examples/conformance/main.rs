//! An echo server for a conformance suite, which returns every message of up to 16 MiB unchanged.

use aiows::extract::Frame;
use aiows::{Error, Limits, Result, Router, Server, WebSocket, fallback, routes};

const MIB: usize = 1024 * 1024;

#[fallback]
async fn echo(ws: WebSocket, frame: Frame) -> Result {
    match frame {
        Frame::Text(text) => ws.send_text(&text).await?,
        Frame::Binary(bytes) => ws.send_binary(&bytes).await?,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1);
    let mut limits = Limits::default();
    limits.message_size = 16 * MIB;
    // The suite sends 4 MiB in fragments of 64 bytes, and an empty one.
    limits.fragments = 4 * MIB / 64 + 1;
    Server::new()
        .include_router(Router::new().routes(routes![echo]))
        .limits(limits)
        .run(address.as_deref().unwrap_or("127.0.0.1:9001"))
        .await
}
