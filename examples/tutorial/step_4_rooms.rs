use aiows::{Message, Result, Router, Server, WebSocket, message, routes};
use serde::{Deserialize, Serialize};
use validator::Validate;

#[derive(Message, Deserialize)]
struct Join {
    room: String,
}

#[derive(Message, Deserialize, Validate)]
struct Say {
    room: String,
    #[validate(length(min = 1, max = 500))]
    text: String,
}

#[derive(Message, Serialize)]
struct Said {
    room: String,
    text: String,
}

#[message("join")]
async fn join(ws: WebSocket, Join { room }: Join) -> Result {
    ws.join(&room).await?;
    Ok(())
}

#[message("say")]
async fn say(ws: WebSocket, Say { room, text }: Say) -> Result {
    ws.to(&room).send(&Said { room: room.clone(), text }).await?;
    Ok(())
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![join, say]))
}

#[tokio::main]
async fn main() -> Result {
    server().run("127.0.0.1:8000").await?;
    Ok(())
}
