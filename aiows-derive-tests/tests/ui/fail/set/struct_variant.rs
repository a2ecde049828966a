use aiows::Message;

#[derive(Message)]
enum Answer {
    Said { _text: String },
}

fn main() {}
