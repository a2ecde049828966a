use aiows::routing::Routes;
use aiows::{DisconnectReason, WebSocket, disconnect, routes};

#[disconnect]
async fn leave(ws: WebSocket, reason: DisconnectReason) {
    std::future::ready(()).await;
    println!("{} left: {reason}", ws.id());
}

#[disconnect]
async fn other() {}

pub fn list() -> Routes {
    routes![leave, other]
}
