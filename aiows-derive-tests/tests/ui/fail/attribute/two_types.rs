use aiows::{message, routes};

#[message("chat", "join")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
