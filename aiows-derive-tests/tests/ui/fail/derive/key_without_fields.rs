use aiows::Message;

#[derive(Message)]
#[aiows(delivery = "latest", key = "symbol")]
struct Tick;

fn main() {}
