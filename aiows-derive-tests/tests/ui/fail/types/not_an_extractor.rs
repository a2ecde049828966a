use aiows::{WebSocket, message, routes};

#[message("chat")]
async fn say(_: bool, _: WebSocket) {}

fn main() {
    let _ = routes![say];
}
