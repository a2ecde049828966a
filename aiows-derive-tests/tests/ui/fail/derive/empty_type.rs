use aiows::Message;

#[derive(Message)]
#[aiows(type = "")]
struct Chat;

fn main() {}
