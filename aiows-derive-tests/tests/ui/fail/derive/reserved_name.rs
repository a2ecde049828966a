use aiows::Message;

#[derive(Message)]
struct Error;

fn main() {}
