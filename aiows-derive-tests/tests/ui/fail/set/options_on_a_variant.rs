use aiows::Message;
use serde::Serialize;

#[derive(Message, Serialize)]
struct Said;

#[derive(Message)]
enum Answer {
    #[aiows(type = "answer")]
    Said(Said),
}

fn main() {
    let _ = Answer::Said(Said);
}
