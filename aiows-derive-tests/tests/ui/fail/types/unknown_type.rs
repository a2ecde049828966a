use aiows::{message, routes};

#[message("chat")]
async fn say(_: Chta) {}

fn main() {
    let _ = routes![say];
}
