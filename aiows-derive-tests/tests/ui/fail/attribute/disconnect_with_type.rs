use aiows::{disconnect, routes};

#[disconnect("chat")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
