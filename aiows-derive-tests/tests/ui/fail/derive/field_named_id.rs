use aiows::Message;

#[derive(Message)]
struct Chat {
    id: u32,
}

fn main() {}
