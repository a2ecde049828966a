use aiows::{connect, routes};

#[connect("chat")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
