//! Clients that follow a random script and record the frames that they receive.

use std::sync::Arc;
use std::time::Duration;

use aiows::{CloseCode, DisconnectReason, Hub, WebSocket};
use serde_json::{Value, json};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::random::Random;
use crate::raw::{Frame, REQUEST, Wire, close_payload, masked, parse};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The timeout of a client's write.
const WRITE: Duration = Duration::from_secs(1);

/// The time that a client waits at the end of its script for the server to end the connection.
const STAY: Duration = Duration::from_secs(1);

/// The action that a message triggers in its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Echo,
    Sleep,
    Hang,
    Leave,
    Fail,
    Panic,
    Flood,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends a message that triggers this action.
    Message(Act),
    Ping,
    Junk,
    Pause(u64),
    /// The client sends a close frame.
    Close,
    /// The client ends its side of the stream.
    Finish,
    Reset,
    /// The client sends the first part of a frame.
    Half,
    /// The client sends a frame that violates the protocol.
    Violation,
    HubDisconnects,
    TaskCloses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Always,
    /// The client starts to read after a delay.
    Late,
    Never,
}

#[derive(Clone, Debug)]
pub struct Script {
    /// The path, which selects a connect handler.
    pub path: &'static str,
    pub reading: Reading,
    pub answers_close: bool,
    pub answers_pings: bool,
    pub steps: Vec<Step>,
}

impl Script {
    pub fn new(random: &mut Random) -> Self {
        use Act::{Echo, Fail, Flood, Hang, Leave, Panic, Sleep, Unknown};
        use Step::{Close, Finish, Half, HubDisconnects, Junk, Message, Pause, Ping, Reset};
        let mut steps = Vec::new();
        for _ in 0..=random.below(12) {
            steps.push(match random.below(24) {
                0..6 => Message(Echo),
                6..9 => Message(Sleep),
                9 => Message(random.of(&[Hang, Leave, Fail, Flood])),
                10 => Message(random.of(&[Panic, Unknown])),
                11 => Ping,
                12 => Junk,
                13..19 => Pause(random.of(&[0, 0, 1, 20, 60, 300, 700])),
                19 => Close,
                20 => random.of(&[Finish, Reset]),
                21 => random.of(&[Half, Step::Violation]),
                _ => random.of(&[HubDisconnects, Step::TaskCloses]),
            });
        }
        Self {
            path: random.of(&["plain", "plain", "plain", "slow", "refuse", "lingering"]),
            reading: random.of(&[Reading::Always, Reading::Always, Reading::Late, Reading::Never]),
            answers_close: random.below(3) > 0,
            answers_pings: random.below(4) > 0,
            steps,
        }
    }

    pub fn has(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    pub fn acts(&self, act: Act) -> bool {
        self.has(Step::Message(act))
    }

    /// Returns whether a step of the client, a handler or the server allows this disconnect reason.
    pub fn allows(&self, reason: &DisconnectReason, seen: &Seen, stopped: bool) -> bool {
        let is = |code: &CloseCode, expected: u16| u16::from(*code) == expected;
        let left = self.has(Step::Finish) || self.has(Step::Reset) || seen.gave_up;
        match reason {
            DisconnectReason::Peer { code: None, .. } => left,
            DisconnectReason::Peer { code: Some(code), reason } => {
                self.has(Step::Close) && is(code, 4500) && reason == "bye"
            }
            DisconnectReason::Closed { code, reason } => {
                self.acts(Act::Leave) && is(code, 4000) && reason == "left"
                    || self.acts(Act::Fail) && is(code, 4100) && reason == "failed"
                    || self.has(Step::HubDisconnects) && is(code, 4200) && reason == "hub"
                    || self.has(Step::TaskCloses) && is(code, 4300) && reason == "task"
            }
            DisconnectReason::Shutdown => stopped,
            DisconnectReason::Timeout => {
                !self.answers_pings
                    || self.reading != Reading::Always
                    || self.has(Step::Close)
                    || self.has(Step::Finish)
            }
            DisconnectReason::SlowConsumer => self.reading != Reading::Always,
            DisconnectReason::ConnectFailed => self.path == "refuse",
            DisconnectReason::Protocol { code } => {
                let waits = [Act::Hang, Act::Sleep, Act::Flood];
                let fills = waits.into_iter().any(|act| self.acts(act)) || self.path != "plain";
                // The server reads the bytes after a partial frame as the rest of that frame.
                let half = self.has(Step::Half);
                let garbled = [1002, 1007, 1009].into_iter().any(|garbled| is(code, garbled));
                half && garbled
                    || self.has(Step::Violation) && is(code, 1002)
                    || (half || fills) && is(code, 1008)
            }
            _ => false,
        }
    }
}

/// The frames and events that a client has recorded.
#[derive(Debug, Default)]
pub struct Seen {
    pub frames: Vec<Frame>,
    /// The number of bytes received of an incomplete frame.
    pub rest: usize,
    /// The server has ended its side.
    pub ended: bool,
    /// The client has left before the server ended the connection.
    pub gave_up: bool,
    pub reset: bool,
    /// The code of the first close request from outside of the handlers, if no other came before.
    pub first_close: Option<u16>,
    /// The client must send no further frames: it has sent a close frame or ended its side.
    closed: bool,
}

impl Seen {
    /// Returns the correlation ids of the answers and of the errors, in order.
    pub fn answered(&self) -> Vec<u64> {
        let texts = self.frames.iter().filter(|frame| frame.first == TEXT);
        let id = |frame: &Frame| {
            serde_json::from_slice::<Value>(&frame.payload).ok()?["correlation_id"].as_u64()
        };
        texts.filter_map(id).collect()
    }

    /// Returns the position and the code of every close frame.
    pub fn closes(&self) -> Vec<(usize, Option<u16>)> {
        let frames = self.frames.iter().enumerate();
        let closes = frames.filter(|(_, frame)| frame.first == CLOSE);
        let code = |frame: &Frame| Some(u16::from_be_bytes(*frame.payload.first_chunk()?));
        closes.map(|(at, frame)| (at, code(frame))).collect()
    }
}

type Writer = Arc<Mutex<Option<WriteHalf<Box<dyn Wire>>>>>;

pub struct Client {
    pub ws: WebSocket,
    script: Script,
    reader: JoinSet<()>,
    writer: Writer,
    seen: Arc<Mutex<Seen>>,
    /// A second handle to the socket, used to reset the connection.
    socket: Option<Socket>,
}

/// Sends the upgrade request; returns `None` if the server is at its connection limit.
pub async fn upgrade(mut wire: Box<dyn Wire>, script: &Script) -> Option<Box<dyn Wire>> {
    let request = REQUEST.replace("GET / ", &format!("GET /{} ", script.path));
    wire.write_all(request.as_bytes()).await.unwrap();
    // The head is read byte by byte, because the bytes after it belong to the reader.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    if head.starts_with("HTTP/1.1 503 ") {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Some(wire)
}

impl Client {
    pub fn new(wire: Box<dyn Wire>, socket: Option<Socket>, ws: WebSocket, script: Script) -> Self {
        let (reader, writer) = split(wire);
        let writer = Arc::new(Mutex::new(Some(writer)));
        let seen = Arc::<Mutex<Seen>>::default();
        let read = read(reader, Arc::clone(&writer), Arc::clone(&seen), script.clone());
        let reader = JoinSet::from_iter([read]);
        Self { ws, script, reader, writer, seen, socket }
    }

    /// Follows the script, then waits for the end of the connection.
    pub async fn play(mut self, hub: Hub) -> (Script, WebSocket, Seen) {
        for (n, step) in self.script.steps.clone().into_iter().enumerate() {
            self.step(step, n as u64, &hub).await;
        }
        let gave_up = timeout(STAY, self.reader.join_next()).await.is_err();
        self.reader.shutdown().await;
        drop(self.writer.lock().await.take());
        let mut seen = self.seen.lock().await;
        seen.gave_up = gave_up;
        let seen = std::mem::take(&mut *seen);
        (self.script, self.ws, seen)
    }

    async fn step(&mut self, step: Step, n: u64, hub: &Hub) {
        match step {
            Step::Message(act) => {
                let message = json!({ "type": kind(act), "id": n, "n": n });
                self.send(&masked(TEXT, message.to_string().as_bytes())).await;
            }
            Step::Ping => self.send(&masked(PING, b"there?")).await,
            Step::Junk => self.send(&masked(TEXT, b"{no json")).await,
            Step::Pause(0) => tokio::task::yield_now().await,
            Step::Pause(millis) => sleep(Duration::from_millis(millis)).await,
            Step::Close => {
                self.send(&masked(CLOSE, &close_payload(4500, "bye"))).await;
                self.seen.lock().await.closed = true;
            }
            Step::Half => {
                let frame = masked(TEXT, b"never finished, and not short");
                self.send(&frame[..12]).await;
            }
            Step::Violation => self.send(&[0xf3, 0x80, 0, 0, 0, 0]).await,
            Step::Finish => {
                if let Some(writer) = &mut *self.writer.lock().await {
                    let _ = timeout(WRITE, writer.shutdown()).await;
                }
                self.seen.lock().await.closed = true;
            }
            Step::Reset => self.reset().await,
            Step::HubDisconnects => {
                // If the client has left, the connection is not in the hub any more.
                if hub.disconnect(self.ws.id(), 4200, "hub") {
                    self.note_close(4200).await;
                }
            }
            Step::TaskCloses => {
                self.note_close(4300).await;
                self.ws.close(4300, "task");
            }
        }
    }

    async fn note_close(&self, code: u16) {
        if !self.ws.is_closed() {
            self.seen.lock().await.first_close.get_or_insert(code);
        }
    }

    /// Sends bytes, unless the client must send no further frames.
    async fn send(&self, bytes: &[u8]) {
        if !self.seen.lock().await.closed {
            write(&self.writer, bytes).await;
        }
    }

    async fn reset(&mut self) {
        if let Some(socket) = self.socket.take() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.reader.shutdown().await;
        drop(self.writer.lock().await.take());
        let mut seen = self.seen.lock().await;
        (seen.closed, seen.reset) = (true, true);
    }
}

/// Returns the message type of an action.
pub fn kind(act: Act) -> String {
    format!("{act:?}").to_lowercase()
}

/// Returns a second handle to the socket of a TCP stream.
pub fn second_handle(stream: &TcpStream) -> Socket {
    SockRef::from(stream).try_clone().unwrap()
}

async fn write(writer: &Writer, bytes: &[u8]) {
    if let Some(writer) = &mut *writer.lock().await {
        let _ = timeout(WRITE, writer.write_all(bytes)).await;
    }
}

async fn read(
    mut reader: ReadHalf<Box<dyn Wire>>,
    writer: Writer,
    seen: Arc<Mutex<Seen>>,
    script: Script,
) {
    match script.reading {
        Reading::Always => {}
        Reading::Late => sleep(Duration::from_millis(400)).await,
        Reading::Never => std::future::pending().await,
    }
    let mut buffer = Vec::new();
    loop {
        let read = reader.read_buf(&mut buffer).await;
        while let Some((frame, length)) = parse(&buffer) {
            buffer.drain(..length);
            let is_close = frame.first == CLOSE;
            let answer = match frame.first {
                PING if script.answers_pings => Some(masked(PONG, &frame.payload)),
                CLOSE if script.answers_close => Some(masked(CLOSE, &frame.payload)),
                _ => None,
            };
            let closed = {
                let mut seen = seen.lock().await;
                seen.frames.push(frame);
                let closed = seen.closed;
                seen.closed |= is_close && script.answers_close;
                closed
            };
            if let Some(answer) = answer
                && !closed
            {
                write(&writer, &answer).await;
            }
        }
        let mut seen = seen.lock().await;
        seen.rest = buffer.len();
        if !read.is_ok_and(|read| read > 0) {
            seen.ended = true;
            return;
        }
    }
}
