use aiows::{message, routes};

#[message("ack")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
