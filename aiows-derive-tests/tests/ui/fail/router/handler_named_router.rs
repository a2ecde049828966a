#[aiows::router]
mod chat {
    #[aiows::message("chat")]
    pub async fn router() {}
}

fn main() {}
