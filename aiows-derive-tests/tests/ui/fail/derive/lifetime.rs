use aiows::Message;

#[derive(Message)]
struct Chat<'a> {
    _text: &'a str,
}

fn main() {}
