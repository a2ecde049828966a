use aiows::Message;

#[derive(Message)]
#[aiows(type = "chat", type = "say")]
struct Chat;

fn main() {}
