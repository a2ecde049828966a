use aiows::Message;

#[derive(Message)]
enum Answer {}

fn main() {}
