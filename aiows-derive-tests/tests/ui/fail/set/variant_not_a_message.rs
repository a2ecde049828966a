use aiows::{Message, message, routes};

#[derive(Message)]
enum Answer {
    Count(u64),
}

#[message("say")]
async fn say() -> Answer {
    Answer::Count(1)
}

fn main() {
    let _ = routes![say];
}
