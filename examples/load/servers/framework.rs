//! `aiows`, used the way the quick start does.

use aiows::{Message, Router, Server, message, routes};
use serde::{Deserialize, Serialize};
use validator::Validate;

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

#[message("chat")]
async fn on_chat(chat: Chat) -> ChatResponse {
    ChatResponse { echo: chat }
}

#[tokio::main]
pub(super) async fn serve() -> crate::Result<()> {
    let router = Router::new().routes(routes![on_chat]);
    let server = Server::new().include_router(router);
    let handle = server.handle();
    tokio::spawn(async move {
        for address in handle.ready().await {
            println!("{}", address.port());
        }
    });
    server.run("127.0.0.1:0").await.map_err(|error| error.to_string().into())
}
