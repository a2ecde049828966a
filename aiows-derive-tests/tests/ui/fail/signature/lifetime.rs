use aiows::{Text, message, routes};

#[message("chat")]
async fn say<'a>(_: Text) -> Option<&'a str> {
    None
}

fn main() {
    let _ = routes![say];
}
