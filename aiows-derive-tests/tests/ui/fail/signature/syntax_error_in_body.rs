use aiows::{message, routes};

#[message("chat")]
async fn say() {
    let = 1;
}

fn main() {
    let _ = routes![say];
}
