use aiows::Message;

#[derive(Message)]
struct Chat {
    #[validate(length(min = 1))]
    _text: String,
}

fn main() {}
