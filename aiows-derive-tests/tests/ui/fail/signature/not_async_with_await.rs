use aiows::{message, routes};

#[message("chat")]
fn say() {
    std::future::ready(()).await;
}

fn main() {
    let _ = routes![say];
}
