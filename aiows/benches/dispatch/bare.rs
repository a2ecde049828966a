//! The same work without a framework: a loop of tokio-tungstenite, serde and validator.

use std::borrow::Cow;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::DuplexStream;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use validator::Validate;

use crate::chat::Chat;
use crate::exchange::ServerStream;

/// A smaller buffer than the default of 128 KiB, which is zeroed before every read.
const READ_BUFFER: usize = 4 * 1024;

/// The buffer size of a stream of the test kit.
const BUFFER: usize = 64 * 1024;

type Reply = fn(&Utf8Bytes) -> Message;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Answer {
    ChatResponse { echo: Chat },
}

/// The same work as `servers::typed`.
pub async fn typed() -> ServerStream {
    serve(reply_to)
}

/// The same work as `servers::echo`.
pub async fn echo() -> ServerStream {
    serve(echo_of)
}

fn serve(reply: Reply) -> ServerStream {
    let (client, server) = tokio::io::duplex(BUFFER);
    tokio::spawn(serve_stream(server, reply));
    ServerStream { stream: Box::pin(client), _keep: Box::new(()) }
}

async fn serve_stream(stream: DuplexStream, reply: Reply) {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let mut ws = accept_async_with_config(stream, Some(config)).await.unwrap();
    while let Some(Ok(Message::Text(text))) = ws.next().await {
        ws.send(reply(&text)).await.unwrap();
    }
}

fn echo_of(text: &Utf8Bytes) -> Message {
    let head: Head<'_> = serde_json::from_str(text).unwrap();
    assert_eq!(head.kind, "other");
    Message::Text(text.clone())
}

fn reply_to(text: &Utf8Bytes) -> Message {
    let head: Head<'_> = serde_json::from_str(text).unwrap();
    assert_eq!(head.kind, "chat");
    let chat: Chat = serde_json::from_str(text).unwrap();
    chat.validate().unwrap();
    Message::text(serde_json::to_string(&Answer::ChatResponse { echo: chat }).unwrap())
}
