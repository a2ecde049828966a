use aiows::{message, routes};

#[message("chat")]
async fn say(_: Option<impl Send>) {}

fn main() {
    let _ = routes![say];
}
