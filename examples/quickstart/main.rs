use aiows::{
    DisconnectReason, Error, Message, Router, Server, WebSocket, connect, disconnect, message,
    routes,
};
use serde::{Deserialize, Serialize};
use validator::Validate;

#[derive(Message, Serialize)]
struct Welcome {
    message: String,
}

#[derive(Message, Deserialize, Serialize, Validate)]
struct Chat {
    #[validate(length(min = 1, max = 500))]
    text: String,
    user_id: u32,
}

#[derive(Message, Serialize)]
struct ChatResponse {
    echo: Chat,
}

#[connect]
async fn on_connect() -> Welcome {
    Welcome { message: "Connected!".into() }
}

#[message("chat")]
async fn on_chat(chat: Chat) -> ChatResponse {
    ChatResponse { echo: chat }
}

#[disconnect]
async fn on_disconnect(ws: WebSocket, reason: DisconnectReason) {
    println!("{} left: {reason}", ws.id());
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let router = Router::new().routes(routes![on_connect, on_chat, on_disconnect]);
    Server::new().include_router(router).run("127.0.0.1:8000").await
}
