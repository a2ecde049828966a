use aiows::message;

struct Room;

impl Room {
    #[message("chat")]
    async fn say(&self) {}
}

fn main() {}
