use aiows::{Message, message, routes};

#[derive(Message)]
struct Chat {
    _text: String,
}

#[message("chat")]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
