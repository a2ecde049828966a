//! One client and one server on one thread. The client sends the same message repeatedly.

use std::pin::Pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::handshake::{Duplex, client_handshake};

/// The number of messages before the measurement, after which buffers have reached their size.
const WARMUP: usize = 200;

/// The longest reply, with its frame header.
const REPLY: usize = 1024;

/// A server, and the client's end of the only stream to it.
pub struct ServerStream {
    pub stream: Pin<Box<dyn Duplex>>,
    /// A value that must live as long as the connection.
    pub _keep: Box<dyn Send>,
}

pub struct Exchange {
    request: Vec<u8>,
    reply: Vec<u8>,
    // `drop` releases this inside of the runtime and before it.
    served: Option<ServerStream>,
    runtime: Runtime,
}

impl Exchange {
    /// Connects to a server, and sends the message often enough to reach a steady state.
    pub fn open(serve: impl AsyncFnOnce() -> ServerStream, text: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let served = runtime.block_on(async {
            let mut served = serve().await;
            client_handshake(&mut served.stream).await;
            served
        });
        let mut exchange =
            Self { request: frame(text), reply: Vec::new(), served: Some(served), runtime };
        exchange.record_reply();
        exchange.run(WARMUP);
        exchange
    }

    /// Sends the message `count` times, each time after the previous answer.
    ///
    /// The client only copies bytes and makes no allocations.
    pub fn run(&mut self, count: usize) {
        let Self { request, reply, served, runtime } = self;
        let Some(ServerStream { stream, .. }) = served else { return };
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

    fn record_reply(&mut self) {
        let Self { request, reply, served, runtime } = self;
        let Some(ServerStream { stream, .. }) = served else { return };
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
