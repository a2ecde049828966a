//! A client that works on raw bytes and frames and checks no protocol rules.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use aiows::testing::TestServer;
use aiows::{DisconnectReason, Limits, Router, Server, State, Text, WebSocket};
use aiows::{disconnect, fallback, routes};

/// The time within which every expected event must happen.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The number of bytes that are read at once.
const READ: usize = 64 * 1024;

pub const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame as it is on the wire.
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

/// A TCP stream or a stream in memory.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

pub struct Raw<S = Box<dyn Wire>> {
    stream: S,
    buffer: Vec<u8>,
    /// The fragments received so far of an unfinished message.
    unfinished: Option<Frame>,
}

impl Raw {
    /// Connects over TCP or in memory, depending on the server, without sending anything.
    pub async fn reach(server: &TestServer) -> Self {
        Self { stream: Box::new(server.stream().await), buffer: Vec::new(), unfinished: None }
    }

    /// Connects over TCP or in memory and completes the handshake.
    pub async fn join(server: &TestServer) -> Self {
        let mut raw = Self::reach(server).await;
        raw.handshake().await;
        raw
    }
}

impl Raw<TcpStream> {
    /// Connects over TCP without sending anything.
    pub async fn dial(server: &TestServer) -> Self {
        Self::dial_at(server.address()).await
    }

    pub async fn dial_at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), unfinished: None }
    }

    /// Connects with a small receive buffer, so that the kernel buffers less of the server's data.
    pub async fn dial_narrow(server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(256 * 1024).unwrap();
        let stream = socket.connect(server.address()).await.unwrap();
        Self { stream, buffer: Vec::new(), unfinished: None }
    }

    /// Connects and completes the handshake.
    pub async fn open(server: &TestServer) -> Self {
        let mut raw = Self::dial(server).await;
        raw.handshake().await;
        raw
    }

    /// Ends the connection with a reset instead of an orderly end, as a crashed host does.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

impl<S: Wire + 'static> Raw<S> {
    /// Erases the type of the stream.
    pub fn boxed(self) -> Raw {
        Raw { stream: Box::new(self.stream), buffer: self.buffer, unfinished: self.unfinished }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Creates a client over a connected stream.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), unfinished: None }
    }

    /// Returns the stream; all bytes read must have been consumed.
    pub fn into_stream(self) -> S {
        assert_eq!(self.buffer, b"");
        self.stream
    }

    pub async fn handshake(&mut self) {
        self.write(REQUEST.as_bytes()).await;
        let head = self.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        timeout(TIMEOUT, self.stream.write_all(bytes)).await.expect("room to write").unwrap();
    }

    /// Sends as much as the stream accepts at once, waiting until it accepts at least one byte.
    pub async fn write_some(&mut self, bytes: &[u8]) -> usize {
        self.stream.write(bytes).await.unwrap()
    }

    /// Sends more than may fit into the stream, and buffers the server's data meanwhile.
    pub async fn write_while_reading(&mut self, bytes: &[u8]) {
        let Self { stream, buffer, .. } = self;
        buffer.reserve(READ);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let read = async {
            // The next read notices the end of the stream again.
            while reader.read_buf(buffer).await.is_ok_and(|read| read > 0) {}
            std::future::pending::<()>().await;
        };
        let write = timeout(TIMEOUT, writer.write_all(bytes));
        tokio::select! {
            // A server that has failed the connection may stop taking bytes at any time.
            written = write => drop(written.expect("room to write")),
            () = read => {}
        }
    }

    /// Ends the client's side of the stream; the server's side stays open.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Sends a close frame.
    pub async fn send_close(&mut self, code: u16, reason: &str) {
        self.send(0x88, &close_payload(code, reason)).await;
    }

    /// Sends a masked frame.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&masked(first, payload)).await;
    }

    /// Sends a text to a server that may have closed the connection by now.
    pub async fn send_quietly(&mut self, text: &str) {
        self.write_quietly(&masked(0x81, text.as_bytes())).await;
    }

    /// Writes to a server that may have closed the connection or stopped reading by now.
    pub async fn write_quietly(&mut self, bytes: &[u8]) {
        let _ = timeout(TIMEOUT, self.stream.write_all(bytes)).await;
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

    /// Expects that the server sends no bytes during this time.
    pub async fn expect_silence(&mut self, duration: Duration) {
        let read = timeout(duration, self.stream.read_buf(&mut self.buffer)).await;
        assert!(read.is_err(), "not silent: {read:?} {:?}", self.buffer);
    }

    /// Waits for bytes or the end, without a timeout; returns whether it was the end.
    #[cfg(feature = "axum")]
    pub async fn ends(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read == 0)
    }

    /// Reads exactly this many bytes.
    #[cfg(feature = "axum")]
    pub async fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill().await, "the stream ended early: {:?}", self.buffer);
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads an HTTP response to its end; returns the status, the head and the body.
    pub async fn read_answer(&mut self) -> (u16, String, String) {
        let head = self.read_head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert_ne!(status, 101, "the request must not be accepted");
        let body = self.read_to_end().await;
        (status, head, String::from_utf8(body).unwrap())
    }

    /// Reads one frame, or one message if it is fragmented; returns `None` at the end of the stream.
    pub async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read_fragment().await?;
            match (frame.first & 0x8f, self.unfinished.take()) {
                (0x01 | 0x02, None) => self.unfinished = Some(frame),
                (0x00 | 0x80, Some(mut message)) => {
                    message.payload.extend(frame.payload);
                    message.first |= frame.first;
                    if frame.first == 0x80 {
                        return Some(message);
                    }
                    self.unfinished = Some(message);
                }
                (0x88.., unfinished) => {
                    self.unfinished = unfinished;
                    return Some(frame);
                }
                (_, None) => return Some(frame),
                (_, Some(_)) => panic!("a message within another: {:#x}", frame.first),
            }
        }
    }

    /// Reads one frame as it is on the wire; returns `None` if the stream ends before it.
    pub async fn read_fragment(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "a frame cut after {} bytes", self.buffer.len());
                return None;
            }
        }
    }

    /// Reads about this many bytes off the stream, for frames that are parsed later.
    pub async fn take(&mut self, bytes: usize) {
        let enough = self.buffer.len() + bytes;
        while self.buffer.len() < enough {
            assert!(self.fill().await, "the stream ended early");
        }
    }

    /// Discards at most this many bytes from the server; returns `None` at the end of the stream.
    pub async fn read_some(&mut self, most: usize) -> Option<usize> {
        if self.buffer.is_empty() {
            let mut bytes = vec![0; most];
            let read = timeout(TIMEOUT, self.stream.read(&mut bytes)).await;
            let read = read.expect("bytes, or the end of the stream").unwrap_or(0);
            return (read > 0).then_some(read);
        }
        let read = self.buffer.len().min(most);
        self.buffer.drain(..read);
        Some(read)
    }

    /// Waits until a frame has started to arrive, without consuming it.
    pub async fn await_frame(&mut self) {
        while self.buffer.is_empty() {
            assert!(self.fill().await, "the stream ended before a frame");
        }
    }

    /// Reads one text frame as JSON.
    pub async fn read_json(&mut self) -> serde_json::Value {
        let frame = self.read_frame().await.expect("a frame");
        assert_eq!(frame.first, 0x81, "{frame:?}");
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// Expects one text frame with exactly this text.
    pub async fn expect_text(&mut self, text: &str) {
        let frame = self.read_frame().await.expect("a text frame");
        assert_eq!((frame.first, frame.text()), (0x81, text));
    }

    /// Expects a close frame with this code; returns the reason.
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

    /// Reads whole frames to the end of the stream.
    pub async fn expect_frames_to_end(&mut self) {
        while self.read_frame().await.is_some() {}
    }

    /// Expects that the server ends the stream without another byte.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.read_to_end().await, b"");
    }

    async fn fill(&mut self) -> bool {
        self.buffer.reserve(READ);
        let read = timeout(TIMEOUT, self.stream.read_buf(&mut self.buffer)).await;
        // A reset counts as an end, but it must not come before the last frame.
        read.expect("bytes, or the end of the stream").is_ok_and(|read| read > 0)
    }
}

/// Runs a check over TCP and in memory, because a session treats the two kinds of stream
/// differently.
pub async fn over_both(server: impl Fn() -> Server, check: impl AsyncFn(TestServer)) {
    let over = Over("TCP");
    check(TestServer::bind(server()).await).await;
    drop(over);
    let _over = Over("memory");
    check(TestServer::new(server())).await;
}

/// Prints over which kind of stream a test failed.
struct Over(&'static str);

impl Drop for Over {
    #[expect(clippy::print_stderr, reason = "the test harness shows it on failure only")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("over {}", self.0);
        }
    }
}

pub fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// A server that sends every text back.
pub fn echo_server() -> Server {
    Server::from(Router::new().routes(routes![echo]))
}

#[fallback]
async fn echo(ws: WebSocket, text: Text) -> aiows::Result {
    Ok(ws.send_text(&text.0).await?)
}

/// Records the disconnect reason of each connection, once for every run of the disconnect handler.
#[derive(Clone)]
pub struct Ends(mpsc::Sender<DisconnectReason>);

pub struct Ended(Mutex<mpsc::Receiver<DisconnectReason>>);

pub fn ends() -> (Ends, Ended) {
    let (sender, receiver) = mpsc::channel(4096);
    (Ends(sender), Ended(Mutex::new(receiver)))
}

impl Ends {
    /// Returns an echo server that records its disconnect reasons.
    pub fn server(&self) -> Server {
        self.watch(Router::new().routes(routes![echo]))
    }

    pub fn watch(&self, router: Router) -> Server {
        Server::from(router.include(self.router()))
    }

    /// Returns the router with the handler that records the reasons.
    pub fn router(&self) -> Router {
        Router::new().routes(routes![note_end]).state(self.clone())
    }
}

#[disconnect(always)]
async fn note_end(State(ends): State<Ends>, reason: DisconnectReason) {
    ends.0.try_send(reason).unwrap();
}

impl Ended {
    pub async fn next(&self) -> DisconnectReason {
        self.next_within(TIMEOUT).await
    }

    /// Like [`next`](Self::next), for tests with paused time and long limits.
    pub async fn next_within(&self, limit: Duration) -> DisconnectReason {
        let next = timeout(limit, self.0.lock().await.recv()).await;
        next.expect("a disconnect").expect("a server")
    }

    /// Expects no further reason; the server must have been dropped.
    pub async fn expect_no_more(self) {
        let next = timeout(TIMEOUT, self.0.lock().await.recv()).await;
        assert_eq!(next.expect("the end of the server"), None);
    }
}

pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
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

/// Parses the first frame and returns its length, if the frame is complete.
pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
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
