use aiows::{message, routes};

#[message("chat")]
async fn say() -> bool {
    true
}

fn main() {
    let _ = routes![say];
}
