use aiows::Message;

#[derive(Message)]
#[aiows(delivery = latest)]
struct Tick;

fn main() {}
