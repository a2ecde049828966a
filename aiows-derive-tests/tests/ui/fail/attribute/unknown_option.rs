use aiows::{message, routes};

#[message("chat", retries = 3)]
async fn say() {}

fn main() {
    let _ = routes![say];
}
