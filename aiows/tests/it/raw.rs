//! A client that shows the bytes: it checks nothing and hides nothing.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use aiows::testing::TestServer;

/// How long anything that is expected may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame as it stands on the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

pub struct Raw<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl Raw<TcpStream> {
    /// Connects without saying anything.
    pub async fn dial(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Connects and completes the handshake.
    pub async fn open(server: &TestServer) -> Self {
        let mut raw = Self::dial(server).await;
        raw.handshake().await;
        raw
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn handshake(&mut self) {
        self.write(REQUEST.as_bytes()).await;
        let head = self.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("room to write").unwrap();
    }

    /// Sends a masked frame.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&masked(first, payload)).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(0x81, text.as_bytes()).await;
    }

    /// Reads up to a blank line.
    pub async fn read_head(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.drain(..at + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill().await, "the stream ended within a head: {:?}", self.buffer);
        }
    }

    /// Reads an HTTP answer to its end: status, head and body.
    pub async fn read_answer(&mut self) -> (u16, String, String) {
        let head = self.read_head().await;
        let body = self.read_to_end().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    /// Reads one frame; `None` when the stream ends before it.
    pub async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "a cut frame: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// Reads one text frame as JSON.
    pub async fn read_json(&mut self) -> serde_json::Value {
        let frame = self.read_frame().await.expect("a frame");
        assert_eq!(frame.first, 0x81, "{frame:?}");
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// Expects a close frame with this code and then the end of the stream; returns the reason.
    pub async fn read_close(&mut self, code: u16) -> String {
        let frame = self.read_frame().await.expect("a close frame");
        assert_eq!(frame.first, 0x88, "{frame:?}");
        assert_eq!(frame.payload[..2], code.to_be_bytes(), "{frame:?}");
        String::from_utf8(frame.payload[2..].to_vec()).unwrap()
    }

    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Expects that the server ends the stream without another byte.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.read_to_end().await, b"");
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end, too: what it may not do is come before the last frame.
        read.expect("bytes, or the end of the stream").is_ok_and(|read| read > 0)
    }
}

pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    frame
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (first, length) = (*bytes.first()?, *bytes.get(1)?);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    let (start, length) = match length {
        126 => (4, number(bytes.get(2..4)?)),
        127 => (10, number(bytes.get(2..10)?)),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((Frame { first, payload }, start + length))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
