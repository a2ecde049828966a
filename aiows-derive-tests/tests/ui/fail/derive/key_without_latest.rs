use aiows::Message;

#[derive(Message)]
#[aiows(delivery = "drop_oldest", key = "symbol")]
struct Tick {
    symbol: String,
}

fn main() {}
