use aiows::{message, routes};

#[message("chat")]
const async fn say() {}

fn main() {
    let _ = routes![say];
}
