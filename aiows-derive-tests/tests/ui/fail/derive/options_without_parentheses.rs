use aiows::Message;

#[derive(Message)]
#[aiows = "chat"]
struct Chat;

fn main() {}
