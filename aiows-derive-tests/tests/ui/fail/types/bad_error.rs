use aiows::{message, routes};

struct Full;

#[message("chat")]
async fn say() -> Result<(), Full> {
    Err(Full)
}

fn main() {
    let _ = routes![say];
}
