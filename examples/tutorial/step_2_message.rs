use aiows::{Message, Result, Router, Server, message, routes};
use serde::{Deserialize, Serialize};

#[derive(Message, Deserialize)]
struct Say {
    text: String,
}

#[derive(Message, Serialize)]
struct Said {
    text: String,
}

#[message("say")]
async fn say(say: Say) -> Said {
    Said { text: say.text }
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![say]))
}

#[tokio::main]
async fn main() -> Result {
    server().run("127.0.0.1:8000").await?;
    Ok(())
}
