use aiows::{message, routes};

#[message()]
async fn say() {}

fn main() {
    let _ = routes![say];
}
