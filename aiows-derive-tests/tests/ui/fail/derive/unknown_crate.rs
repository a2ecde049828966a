use aiows::Message;

#[derive(Message)]
#[aiows(crate = aiosw)]
struct Chat;

fn main() {}
