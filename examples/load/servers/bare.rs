//! tokio-tungstenite without a framework: a loop per connection, with the settings that count.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{Failure, READ_BUFFER, chat};
use crate::Result;
use crate::cases::Service;

#[tokio::main]
pub(super) async fn serve(service: Service) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that failed is of no interest; a wrong reply the client notices.
            let _ = converse(stream, service).await;
        });
    }
}

async fn converse(stream: TcpStream, service: Service) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let mut ws = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = ws.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        ws.send(match service {
            Service::Echo => Message::Text(text),
            Service::Typed => Message::text(chat::reply(&text)?),
        })
        .await?;
    }
    Ok(())
}
