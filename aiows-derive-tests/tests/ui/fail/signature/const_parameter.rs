use aiows::{message, routes};

#[message("chat")]
async fn say<const N: usize>() {}

fn main() {
    let _ = routes![say];
}
