use aiows::router;

#[router]
mod chat {
    pub async fn say() {}

    pub mod inner {
        #[aiows::message("chat")]
        pub async fn say() {}
    }
}

fn main() {
    let _ = chat::router();
}
