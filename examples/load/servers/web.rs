//! A server with axum and its `ws` feature, with the settings that affect the figures.

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

use super::{BACKLOG, Failure, READ_BUFFER, chat};
use crate::Result;
use crate::cases::Service;

#[tokio::main]
pub(super) async fn serve(service: Service) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let (room, _) = broadcast::channel(BACKLOG);
    let upgrade = move |upgrade: WebSocketUpgrade| async move {
        // Subscribe before the response, so a client that has received it is a member.
        let published = room.subscribe();
        upgrade.read_buffer_size(READ_BUFFER).on_upgrade(move |ws| async move {
            // The server ignores failed connections. The client detects wrong replies.
            let _ = match service {
                Service::Broadcast => relay(ws, room, published).await,
                _ => converse(ws, service).await,
            };
        })
    };
    Ok(axum::serve(listener, Router::new().route("/", any(upgrade))).await?)
}

async fn relay(
    mut ws: WebSocket,
    room: Sender<Utf8Bytes>,
    mut published: Receiver<Utf8Bytes>,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            message = ws.recv() => match message {
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

async fn converse(mut ws: WebSocket, service: Service) -> Result<(), Failure> {
    while let Some(message) = ws.recv().await {
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
