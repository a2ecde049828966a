//! A room with members that read, and a sender.

use std::pin::Pin;

use aiows::testing::TestServer;
use aiows::{Hub, Message, Result, Router, WebSocket, connect, routes};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::handshake::{Duplex, client_handshake};

/// The number of messages before the measurement, after which buffers have reached their size.
const WARMUP: usize = 20;

const NAME: &str = "lobby";

const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const RECEIVED: &[u8] = b"\x81\x59{\"type\":\"news\",\"text\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}";

#[derive(Message, Serialize)]
struct News {
    text: String,
}

/// The sender of the messages.
#[derive(Clone, Copy)]
pub enum Sender {
    Server,
    /// The first member sends to the others.
    Member,
}

/// The kind of stream of the connections.
#[derive(Clone, Copy)]
pub enum Transport {
    Tcp,
    Memory,
}

pub struct Room {
    sender: Sender,
    hub: Hub,
    // `drop` releases this inside of the runtime and before it.
    connections: Option<Connections>,
    runtime: Runtime,
}

struct Connections {
    clients: Vec<Pin<Box<dyn Duplex>>>,
    member: WebSocket,
    _server: TestServer,
}

#[connect]
async fn enter(ws: WebSocket) -> Result {
    ws.join(NAME).await?;
    Ok(())
}

impl Room {
    /// Connects the members, and sends enough messages to reach a steady state.
    pub fn open(members: usize, transport: Transport, sender: Sender) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (connections, hub) = runtime.block_on(async {
            let router = Router::new().routes(routes![enter]);
            let server = match transport {
                Transport::Tcp => TestServer::bind(router).await,
                Transport::Memory => TestServer::new(router),
            };
            let hub = server.handle().hub();
            let mut clients: Vec<Pin<Box<dyn Duplex>>> = Vec::new();
            let mut first = None;
            while clients.len() < members {
                let mut stream = server.stream().await;
                client_handshake(&mut stream).await;
                clients.push(Box::pin(stream));
                while hub.room_size(NAME) < clients.len() {
                    yield_now().await;
                }
                first = first.or_else(|| hub.members(NAME).pop());
            }
            let member = first.unwrap();
            (Connections { clients, member, _server: server }, hub)
        });
        let mut room = Self { sender, hub, connections: Some(connections), runtime };
        room.run(WARMUP);
        room
    }

    /// Sends a message `count` times, each time after all members have received the previous one.
    pub fn run(&mut self, count: usize) {
        let Self { sender, hub, connections, runtime } = self;
        let Some(Connections { clients, member, .. }) = connections else { return };
        let news = News { text: TEXT.to_owned() };
        let mut received = [0; RECEIVED.len()];
        let readers = match sender {
            Sender::Server => &mut clients[..],
            Sender::Member => &mut clients[1..],
        };
        runtime.block_on(async {
            for _ in 0..count {
                let target = match sender {
                    Sender::Server => hub.room(NAME),
                    Sender::Member => member.to(NAME),
                };
                let delivery = target.send(&news).await.unwrap();
                assert_eq!(delivery.accepted, readers.len());
                for reader in &mut *readers {
                    reader.read_exact(&mut received).await.unwrap();
                }
            }
        });
        assert_eq!(received, RECEIVED);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let connections = self.connections.take();
        self.runtime.block_on(async { drop(connections) });
    }
}
