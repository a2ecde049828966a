//! A server with tokio-tungstenite and a loop per connection, with the settings that affect the
//! figures.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::{BACKLOG, Failure, READ_BUFFER, chat};
use crate::Result;
use crate::cases::Service;

#[tokio::main]
pub(super) async fn serve(service: Service) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let (room, _) = broadcast::channel(BACKLOG);
    loop {
        let (stream, _) = listener.accept().await?;
        let room = room.clone();
        tokio::spawn(async move {
            // The server ignores failed connections. The client detects wrong replies.
            let _ = match service {
                Service::Broadcast => relay(stream, room).await,
                _ => converse(stream, service).await,
            };
        });
    }
}

async fn accept(stream: TcpStream) -> Result<WebSocketStream<TcpStream>, Failure> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    Ok(accept_async_with_config(stream, Some(config)).await?)
}

async fn relay(stream: TcpStream, room: Sender<Utf8Bytes>) -> Result<(), Failure> {
    let mut published = room.subscribe();
    let mut ws = accept(stream).await?;
    loop {
        tokio::select! {
            message = ws.next() => match message {
                Some(Ok(Message::Text(text))) => drop(room.send(text)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            text = published.recv() => match text {
                Ok(text) => ws.send(Message::Text(text)).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

async fn converse(stream: TcpStream, service: Service) -> Result<(), Failure> {
    let mut ws = accept(stream).await?;
    while let Some(message) = ws.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        ws.send(match service {
            Service::Typed => Message::text(chat::reply(&text)?),
            _ => Message::Text(text),
        })
        .await?;
    }
    Ok(())
}
