use aiows::{message, routes};

#[message(1)]
async fn say() {}

fn main() {
    let _ = routes![say];
}
