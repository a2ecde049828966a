use aiows::router;

#[router]
mod chat {
    use aiows::{WebSocket, message};

    #[message("chat")]
    pub async fn say(ws: WebSocket) {
        let = ws;
    }

    #[message("ping")]
    pub async fn ping() {}
}

fn main() {
    let _ = (chat::router(), chat::ping());
}
