use aiows::{message, routes};

#[message(b"chat")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
