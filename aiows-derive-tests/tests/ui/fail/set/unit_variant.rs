use aiows::Message;

#[derive(Message)]
enum Chat {
    Say,
}

fn main() {}
