use aiows::{message, routes};

#[message("chat")]
async fn say<T: Send>(_: T) {}

fn main() {
    let _ = routes![say];
}
