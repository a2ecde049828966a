use aiows::{fallback, routes};

#[fallback("chat")]
async fn say() {}

fn main() {
    let _ = routes![say];
}
