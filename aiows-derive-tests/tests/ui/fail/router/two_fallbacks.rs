#[aiows::router]
mod chat {
    use aiows::fallback;

    #[fallback]
    async fn first() {}

    #[cfg(not(test))]
    #[fallback]
    async fn second() {}
}

fn main() {
    let _ = chat::router();
}
