use aiows::Message;

#[derive(Message, serde::Serialize)]
struct Tick;

#[derive(Message)]
#[aiows(delivery = "latest")]
enum Feed {
    Tick(Tick),
}

fn main() {}
