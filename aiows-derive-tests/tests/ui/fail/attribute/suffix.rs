use aiows::{message, routes};

#[message("chat"room)]
async fn say() {}

fn main() {
    let _ = routes![say];
}
