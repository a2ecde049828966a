use aiows::{Message, Router, Server, WebSocket, message, routes};
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat {
    text: String,
}

#[message("chat")]
async fn on_chat(ws: &WebSocket, chat: Chat) {
    println!("{}: {}", ws.id(), chat.text);
}

#[message("is_online")]
async fn is_online() -> bool {
    true
}

fn main() {
    Server::from(Router::new().routes(routes![on_chat, is_online]));
}
