use aiows::{message, routes};

#[message("chat", crate = aiows, crate = aiows)]
async fn say() {}

fn main() {
    let _ = routes![say];
}
