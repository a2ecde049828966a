//! A server with fastwebsockets on a plain socket, with a handshake that does not check the
//! request.

use fastwebsockets::{FragmentCollector, Frame, OpCode, Role, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Failure, chat};
use crate::Result;
use crate::cases::Service;

const MAX_HEAD: usize = 1024;

#[tokio::main]
pub(super) async fn serve(service: Service) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The server ignores failed connections. The client detects wrong replies.
            let _ = converse(stream, service).await;
        });
    }
}

async fn converse(mut stream: TcpStream, service: Service) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    shake_hands(&mut stream).await?;
    let mut ws = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = ws.read_frame().await?;
        match (frame.opcode, service) {
            (OpCode::Text, Service::Echo) => ws.write_frame(Frame::text(frame.payload)).await?,
            (OpCode::Text, Service::Typed) => {
                let reply = chat::reply(std::str::from_utf8(&frame.payload)?)?;
                ws.write_frame(Frame::text(reply.into_bytes().into())).await?;
            }
            (OpCode::Text, Service::Broadcast) => return Err("not here".into()),
            (OpCode::Close, _) => return Ok(()),
            _ => {}
        }
    }
}

/// Reads the request and sends the response. The client sends no data before it has the response.
async fn shake_hands(stream: &mut TcpStream) -> Result<(), Failure> {
    let mut head = Vec::with_capacity(MAX_HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Err("no request".into());
        }
    }
    let head = std::str::from_utf8(&head)?;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = derive_accept_key(key.ok_or("no key")?.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok(stream.write_all(response.as_bytes()).await?)
}
