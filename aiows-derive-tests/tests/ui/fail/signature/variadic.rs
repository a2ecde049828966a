use aiows::{message, routes};

#[message("chat")]
async fn say(...) {}

fn main() {
    let _ = routes![say];
}
