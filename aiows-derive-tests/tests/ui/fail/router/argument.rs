use aiows::router;

#[router("chat")]
mod chat {
    #[aiows::message("chat")]
    async fn say() {}
}

fn main() {
    let _ = chat::router();
}
