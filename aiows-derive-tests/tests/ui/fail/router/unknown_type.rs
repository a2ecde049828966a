use aiows::router;

#[router]
mod chat {
    use aiows::message;

    #[message("chat")]
    pub async fn say(chat: Chat) {}
}

fn main() {
    let _ = chat::router();
}
