//! Answers pings of the server while a test does not receive from its client.
//!
//! A task passes bytes between the client and its stream in both directions. It removes the pings
//! of the server on the way and answers them, so that the test need not read from the client for
//! that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::task::unconstrained;

use crate::transport::Stream;

/// The bytes that wait for the client to receive them. The stream has space for more.
const UNREAD: usize = 16 * 1024;

/// The bytes that are passed on at once.
const CHUNK: usize = 1024;

/// The pongs that wait while a frame of the client is passed on. Further pings are not answered.
const PONGS: usize = 16;

/// Source: RFC 6455 section 5.2.
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MASK: u8 = 0x80;

/// Whether pings are answered here. If not, they are passed on to the client.
#[derive(Clone, Debug)]
pub(super) struct AutoPong(Arc<AtomicBool>);

impl AutoPong {
    pub(super) fn set(&self, answers: bool) {
        self.0.store(answers, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Puts the task in front of a stream. The task ends when the client drops its side.
pub(super) fn with_auto_pong(stream: Box<dyn Stream>) -> (Box<dyn Stream>, AutoPong) {
    let (client, near) = duplex(UNREAD);
    let auto_pong = AutoPong(Arc::new(AtomicBool::new(true)));
    let (to_answer, pings) = mpsc::channel(PONGS);
    let (from_client, to_client) = split(near);
    let (from_server, to_server) = split(stream);
    let down = pass_down(from_server, to_client, to_answer, auto_pong.clone());
    let up = pass_up(from_client, to_server, pings);
    tokio::spawn(pass_both(up, down));
    (Box::new(client), auto_pong)
}

/// The side that does not receive or send any more.
enum Gone {
    Client,
    Server,
}

async fn pass_both(up: impl Future<Output = Gone>, down: impl Future<Output = Gone>) {
    tokio::pin!(up, down);
    tokio::select! {
        gone = &mut up => {
            // The client can still receive the bytes that the server sent before it left.
            if let Gone::Server = gone {
                down.await;
            }
        }
        gone = &mut down => match gone {
            // The server receives the bytes it has space for, and finds the connection closed at
            // once, as if it were connected directly.
            Gone::Client => {
                unconstrained(up).now_or_never();
            }
            Gone::Server => {
                up.await;
            }
        },
    }
}

/// Passes on the bytes of the server.
async fn pass_down(
    mut server: ReadHalf<Box<dyn Stream>>,
    mut client: WriteHalf<DuplexStream>,
    to_answer: mpsc::Sender<BytesMut>,
    auto_pong: AutoPong,
) -> Gone {
    let mut bytes = BytesMut::with_capacity(CHUNK);
    let mut frames = Frames::Head;
    while let Ok(1..) = server.read_buf(&mut bytes).await {
        while let Some(piece) = frames.next(&mut bytes, auto_pong.get()) {
            match piece {
                Piece::Ping(payload) => drop(to_answer.try_send(payload)),
                Piece::Other(piece) => {
                    if client.write_all(&piece).await.is_err() {
                        return Gone::Client;
                    }
                }
            }
        }
    }
    let _ = client.write_all(&bytes).await;
    let _ = client.shutdown().await;
    Gone::Server
}

/// Passes on the bytes of the client, and sends pongs between its frames.
async fn pass_up(
    mut client: ReadHalf<DuplexStream>,
    mut server: WriteHalf<Box<dyn Stream>>,
    mut pings: mpsc::Receiver<BytesMut>,
) -> Gone {
    let mut bytes = BytesMut::with_capacity(CHUNK);
    let mut frames = Frames::Head;
    loop {
        let is_between = bytes.is_empty() && matches!(frames, Frames::Payload(0));
        tokio::select! {
            Some(payload) = pings.recv(), if is_between => {
                let head = [PONG, MASK | payload.len() as u8, 0, 0, 0, 0];
                if server.write_all(&[&head, &payload[..]].concat()).await.is_err() {
                    return Gone::Server;
                }
            }
            read = client.read_buf(&mut bytes) => {
                let Ok(1..) = read else { return Gone::Client };
                // In one write: TCP would send the second of several only after the first is
                // acknowledged.
                let mut whole = BytesMut::new();
                while let Some(Piece::Other(piece)) = frames.next(&mut bytes, false) {
                    whole.unsplit(piece);
                }
                if server.write_all(&whole).await.is_err() {
                    return Gone::Server;
                }
            }
        }
    }
}

/// The progress in the bytes of one side: a head, then frames.
enum Frames {
    Head,
    /// The server has refused the handshake, and the body of its answer follows.
    Refused,
    /// The number of bytes left of a frame.
    Payload(u64),
}

enum Piece {
    /// The payload of a ping.
    Ping(BytesMut),
    Other(BytesMut),
}

impl Frames {
    /// Takes a piece from the bytes. Returns `None` if more bytes are needed.
    fn next(&mut self, bytes: &mut BytesMut, cuts_pings: bool) -> Option<Piece> {
        match self {
            Self::Head => {
                let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
                let head = bytes.split_to(end);
                let is_refused = head.starts_with(b"HTTP/") && !head.starts_with(b"HTTP/1.1 101");
                *self = if is_refused { Self::Refused } else { Self::Payload(0) };
                Some(Piece::Other(head))
            }
            Self::Refused => (!bytes.is_empty()).then(|| Piece::Other(bytes.split())),
            Self::Payload(0) => {
                let (header, length) = header(bytes)?;
                if cuts_pings && bytes[0] == PING {
                    let end = header + usize::try_from(length).ok()?;
                    if bytes.len() < end {
                        return None;
                    }
                    let mut frame = bytes.split_to(end);
                    frame.advance(header);
                    return Some(Piece::Ping(frame));
                }
                *self = Self::Payload(length);
                Some(Piece::Other(bytes.split_to(header)))
            }
            Self::Payload(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                (taken > 0).then(|| Piece::Other(bytes.split_to(taken)))
            }
        }
    }
}

/// Returns the sizes of the header and of the payload of the first frame, once the header is
/// complete.
fn header(bytes: &[u8]) -> Option<(usize, u64)> {
    let [_, second, extended @ ..] = bytes else { return None };
    let (size, length) = match second & !MASK {
        126 => (4, u64::from(u16::from_be_bytes(*extended.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*extended.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let size = if second & MASK == 0 { size } else { size + 4 };
    (bytes.len() >= size).then_some((size, length))
}
