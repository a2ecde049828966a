use aiows::Message;

#[derive(Message)]
#[aiows(delivery = "newest")]
struct Tick;

fn main() {}
