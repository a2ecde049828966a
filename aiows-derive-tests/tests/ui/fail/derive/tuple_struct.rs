use aiows::Message;

#[derive(Message)]
struct Chat(String, u32);

fn main() {}
