use aiows::{message, routes};

#[message("chat\0")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
