use aiows::message;

trait Room {
    #[message("chat")]
    async fn say();
}

fn main() {}
