use aiows::{message, routes};

#[message("chat")]
async fn say(_ bool) {}

fn main() {
    let _ = routes![say];
}
