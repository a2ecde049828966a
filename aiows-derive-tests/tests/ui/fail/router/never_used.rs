#![deny(dead_code)]

#[aiows::router]
mod chat {
    use aiows::message;

    #[message("chat")]
    async fn say() {}

    #[message("ping")]
    async fn ping() {}
}

fn main() {}
