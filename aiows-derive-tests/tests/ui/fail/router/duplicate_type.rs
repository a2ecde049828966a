use aiows::router;

#[router]
mod chat {
    use aiows::message;

    #[message("chat")]
    async fn say() {}

    #[message("chat")]
    async fn talk() {}
}

fn main() {
    let _ = chat::router();
}
