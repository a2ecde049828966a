use aiows::router;

#[router(crate = ws)]
mod chat {
    #[aiows::message("chat")]
    async fn say() {}
}

fn main() {
    let _ = chat::router();
}
