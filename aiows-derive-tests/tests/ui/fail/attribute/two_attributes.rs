use aiows::{message, routes};

#[message("chat")]
#[aiows::connect]
async fn say() {}

fn main() {
    let _ = routes![say];
}
