use aiows::router;

#[router]
mod chat {
    use aiows::message;

    #[message("chat")]
    pub fn say() {}

    #[message("ping")]
    pub async fn ping() {}
}

fn main() {
    let _ = (chat::router(), chat::ping());
}
