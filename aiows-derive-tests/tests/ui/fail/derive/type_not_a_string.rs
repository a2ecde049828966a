use aiows::Message;

#[derive(Message)]
#[aiows(type = chat)]
struct Chat;

fn main() {}
