use aiows::Message;
use serde::Serialize;

#[derive(Message, Serialize)]
struct Said;

#[derive(Message)]
#[aiows(type = "answer")]
enum Answer {
    Said(Said),
}

fn main() {
    let _ = Answer::Said(Said);
}
