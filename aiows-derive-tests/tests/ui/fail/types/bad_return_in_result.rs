use aiows::{message, routes};

#[message("chat")]
async fn say() -> aiows::Result<bool> {
    Ok(true)
}

fn main() {
    let _ = routes![say];
}
