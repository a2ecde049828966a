use aiows::Message;

#[derive(Message)]
#[aiows(delivery = "latest", key = "symbl")]
struct Tick {
    symbol: String,
    price: u64,
}

fn main() {}
