use aiows::Message;
use serde::Serialize;

#[derive(Message, Serialize)]
struct Said;

#[derive(Message)]
enum Question {
    Said(Said),
}

#[aiows::message("ask")]
async fn ask(question: Question) {
    let Question::Said(Said) = question;
}

fn main() {
    let _ = aiows::routes![ask];
}
