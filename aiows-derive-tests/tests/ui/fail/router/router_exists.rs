#[aiows::router]
mod chat {
    use aiows::{Router, message};

    #[message("chat")]
    pub async fn say() {}

    pub fn router() -> Router {
        Router::new()
    }
}

fn main() {
    let _ = chat::router();
}
