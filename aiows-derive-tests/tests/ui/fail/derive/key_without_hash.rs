use aiows::Message;

#[derive(Message)]
#[aiows(delivery = "latest", key = "price")]
struct Tick {
    price: f64,
}

fn main() {}
