use aiows::{message, routes};

#[message("chat")]
async fn say(_: ...) {}

fn main() {
    let _ = routes![say];
}
