use aiows::{Message, message, routes};

#[derive(Message)]
struct Said;

#[derive(Message)]
enum Answer {
    Said(Said),
}

#[message("say")]
async fn say() -> Answer {
    Answer::Said(Said)
}

fn main() {
    let _ = routes![say];
}
