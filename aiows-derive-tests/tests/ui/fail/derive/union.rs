use aiows::Message;

#[derive(Message)]
union Chat {
    _text: u8,
}

fn main() {}
