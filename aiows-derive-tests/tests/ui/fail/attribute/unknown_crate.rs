use aiows::{message, routes};

#[message("chat", crate = aiosw)]
async fn say() {}

fn main() {
    let _ = routes![say];
}
