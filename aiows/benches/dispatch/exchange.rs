//! One client and one server on one thread, and a message that is sent again and again.

use std::pin::Pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::handshake::{Duplex, shake_hands};

/// Messages before the first one that counts: buffers have their size then.
const WARMUP: usize = 200;

/// The longest reply, with its frame header.
const REPLY: usize = 1024;

/// A server, and the client's end of the one stream to it.
pub struct Served {
    pub stream: Pin<Box<dyn Duplex>>,
    /// What has to live as long as the connection.
    pub _keep: Box<dyn Send>,
}

pub struct Exchange {
    request: Vec<u8>,
    reply: Vec<u8>,
    // Dropped inside of the runtime, and before it.
    served: Option<Served>,
    runtime: Runtime,
}

impl Exchange {
    /// Connects to a server, and sends the message often enough for a steady state.
    pub fn open(serve: impl AsyncFnOnce() -> Served, text: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let served = runtime.block_on(async {
            let mut served = serve().await;
            shake_hands(&mut served.stream).await;
            served
        });
        let mut exchange =
            Self { request: frame(text), reply: Vec::new(), served: Some(served), runtime };
        exchange.learn_reply();
        exchange.run(WARMUP);
        exchange
    }

    /// Sends the message `count` times, each time when the one before it was answered.
    ///
    /// The client does nothing but copy bytes, and allocates nothing.
    pub fn run(&mut self, count: usize) {
        let Self { request, reply, served, runtime } = self;
        let Some(Served { stream, .. }) = served else { return };
        let mut answer = [0; REPLY];
        let answer = &mut answer[..reply.len()];
        runtime.block_on(async {
            for _ in 0..count {
                stream.write_all(request).await.unwrap();
                stream.read_exact(answer).await.unwrap();
            }
        });
        assert_eq!(answer, reply);
    }

    fn learn_reply(&mut self) {
        let Self { request, reply, served, runtime } = self;
        let Some(Served { stream, .. }) = served else { return };
        runtime.block_on(async {
            stream.write_all(request).await.unwrap();
            while reply.len() < 4 || reply.len() < header(reply) + payload(reply) {
                reply.push(stream.read_u8().await.unwrap());
            }
        });
        assert!(reply.len() <= REPLY);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let served = self.served.take();
        self.runtime.block_on(async { drop(served) });
    }
}

fn header(frame: &[u8]) -> usize {
    if frame[1] == 126 { 4 } else { 2 }
}

fn payload(frame: &[u8]) -> usize {
    match frame[1] {
        126 => usize::from(u16::from_be_bytes([frame[2], frame[3]])),
        short => usize::from(short),
    }
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Frame::message(text.to_owned(), OpCode::Data(Data::Text), true);
    frame.header_mut().mask = Some([0x37, 0xfa, 0x21, 0x3d]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}
