use aiows::Message;

#[derive(Message)]
#[aiows(name = "chat")]
struct Chat;

fn main() {}
