//! axum with its `ws` feature, with the settings that count.

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::{Failure, READ_BUFFER, chat};
use crate::Result;
use crate::cases::Service;

#[tokio::main]
pub(super) async fn serve(service: Service) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let upgrade = move |upgrade: WebSocketUpgrade| async move {
        upgrade.read_buffer_size(READ_BUFFER).on_upgrade(move |ws| async move {
            // A connection that failed is of no interest; a wrong reply the client notices.
            let _ = converse(ws, service).await;
        })
    };
    Ok(axum::serve(listener, Router::new().route("/", any(upgrade))).await?)
}

async fn converse(mut ws: WebSocket, service: Service) -> Result<(), Failure> {
    while let Some(message) = ws.recv().await {
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
