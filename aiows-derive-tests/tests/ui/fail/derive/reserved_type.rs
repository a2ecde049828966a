use aiows::Message;

#[derive(Message)]
#[aiows(type = "error")]
struct Chat;

fn main() {}
