use aiows::Message;

#[derive(Message)]
struct Chat<T> {
    _text: T,
}

fn main() {}
