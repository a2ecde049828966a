use aiows::{message, routes};

#[message("chat")]
async fn say() {}

#[message("chat")]
async fn talk() {}

fn main() {
    let _ = routes![say, talk];
}
