use aiows::{message, routes};

#[message("chat")]
async fn say()
where
    String: Clone,
{
}

fn main() {
    let _ = routes![say];
}
