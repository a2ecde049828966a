//! A room, whose members read, and somebody who speaks to it.

use std::pin::Pin;

use aiows::testing::TestServer;
use aiows::{Hub, Message, Result, Router, WebSocket, connect, routes};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::handshake::{Duplex, shake_hands};

/// Messages before the first one that counts: buffers have their size then.
const WARMUP: usize = 20;

const NAME: &str = "lobby";

const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const RECEIVED: &[u8] = b"\x81\x59{\"type\":\"news\",\"text\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}";

#[derive(Message, Serialize)]
struct News {
    text: String,
}

/// Who sends to the room.
#[derive(Clone, Copy)]
pub enum Speaker {
    Server,
    /// The first member, to the others.
    Member,
}

/// What the connections are made of.
#[derive(Clone, Copy)]
pub enum Transport {
    Tcp,
    Memory,
}

pub struct Room {
    speaker: Speaker,
    hub: Hub,
    // Dropped inside of the runtime, and before it.
    kept: Option<Kept>,
    runtime: Runtime,
}

struct Kept {
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
    /// Connects the members, and sends often enough for a steady state.
    pub fn open(members: usize, transport: Transport, speaker: Speaker) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (kept, hub) = runtime.block_on(async {
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
                shake_hands(&mut stream).await;
                clients.push(Box::pin(stream));
                while hub.room_size(NAME) < clients.len() {
                    yield_now().await;
                }
                first = first.or_else(|| hub.members(NAME).pop());
            }
            let member = first.unwrap();
            (Kept { clients, member, _server: server }, hub)
        });
        let mut room = Self { speaker, hub, kept: Some(kept), runtime };
        room.run(WARMUP);
        room
    }

    /// Sends a message `count` times, each time when everybody has received the one before.
    pub fn run(&mut self, count: usize) {
        let Self { speaker, hub, kept, runtime } = self;
        let Some(Kept { clients, member, .. }) = kept else { return };
        let news = News { text: TEXT.to_owned() };
        let mut received = [0; RECEIVED.len()];
        let listeners = match speaker {
            Speaker::Server => &mut clients[..],
            Speaker::Member => &mut clients[1..],
        };
        runtime.block_on(async {
            for _ in 0..count {
                let target = match speaker {
                    Speaker::Server => hub.room(NAME),
                    Speaker::Member => member.to(NAME),
                };
                let delivery = target.send(&news).await.unwrap();
                assert_eq!(delivery.accepted, listeners.len());
                for listener in &mut *listeners {
                    listener.read_exact(&mut received).await.unwrap();
                }
            }
        });
        assert_eq!(received, RECEIVED);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let kept = self.kept.take();
        self.runtime.block_on(async { drop(kept) });
    }
}
