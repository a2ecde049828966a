//! tokio-tungstenite without a framework: a loop per connection, with the settings that count.

use std::borrow::Cow;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use validator::Validate;

/// The default of 128 KiB is zeroed before every read.
const READ_BUFFER: usize = 4 * 1024;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize, Serialize, Validate)]
struct Chat {
    #[validate(length(min = 1, max = 500))]
    text: String,
    user_id: u32,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Reply {
    ChatResponse { echo: Chat },
    Error { code: &'static str },
}

#[tokio::main]
pub(super) async fn serve() -> crate::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(converse(stream));
    }
}

async fn converse(stream: TcpStream) -> tungstenite::Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let mut ws = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = ws.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let reply = answer(&text).unwrap_or_else(|code| Reply::Error { code });
        let reply = serde_json::to_string(&reply).map_err(std::io::Error::other)?;
        ws.send(Message::text(reply)).await?;
    }
    Ok(())
}

fn answer(text: &str) -> Result<Reply, &'static str> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| "invalid_json")?;
    match &*head.kind {
        "chat" => {
            let chat: Chat = serde_json::from_str(text).map_err(|_| "invalid_payload")?;
            chat.validate().map_err(|_| "validation_failed")?;
            Ok(Reply::ChatResponse { echo: chat })
        }
        _ => Err("unknown_type"),
    }
}
