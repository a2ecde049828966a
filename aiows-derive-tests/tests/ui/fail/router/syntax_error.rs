use aiows::router;

#[router]
mod chat {
    use aiows::message;

    #[message("chat")]
    pub async fn say(ws WebSocket) {}

    #[message("ping")]
    pub async fn ping() {}
}

fn main() {
    let _ = (chat::router(), chat::ping());
}
