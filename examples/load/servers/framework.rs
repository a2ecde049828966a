//! A server with aiows, written like the quick start.

use aiows::middleware::from_fn;
use aiows::{
    Hub, Limits, Message, Router, Server, Text, WebSocket, connect, fallback, message, routes,
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::Result;
use crate::cases::Service;

/// More connections than any case opens.
const CONNECTIONS: usize = 1_000_000;

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

#[fallback]
async fn echo(ws: WebSocket, Text(text): Text) -> aiows::Result {
    ws.send_text(&text).await?;
    Ok(())
}

const ROOM: &str = "everybody";

#[connect]
async fn enter(ws: WebSocket) -> aiows::Result {
    ws.join(ROOM).await?;
    Ok(())
}

#[fallback]
async fn publish(hub: Hub, Text(text): Text) -> aiows::Result {
    hub.room(ROOM).send_text(&text).await?;
    Ok(())
}

pub(super) fn serve(service: Service) -> Result<()> {
    run(router(service))
}

/// Serves the same handlers inside of middleware that passes every message on.
pub(super) fn serve_layered(service: Service) -> Result<()> {
    run(router(service).middleware(from_fn(|call, next| async move { next.run(call).await })))
}

fn router(service: Service) -> Router {
    Router::new().routes(match service {
        Service::Echo => routes![echo],
        Service::Typed => routes![on_chat],
        Service::Broadcast => routes![enter, publish],
    })
}

#[tokio::main]
async fn run(router: Router) -> Result<()> {
    let mut limits = Limits::default();
    limits.connections = CONNECTIONS;
    limits.room_members = CONNECTIONS;
    let server = Server::new().include_router(router).limits(limits);
    let handle = server.handle();
    tokio::spawn(async move {
        for address in handle.ready().await {
            println!("{}", address.port());
        }
    });
    server.run("127.0.0.1:0").await.map_err(|error| error.to_string().into())
}
