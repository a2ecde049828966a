//! A client that costs as little as possible and is the same for every server.
//!
//! It polls its socket instead of sleeping in `read`: a server that had to wake a sleeping
//! processor for every answer would pay for that, and on some machines pay more than for all else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::cases::Case;
use crate::frame::{self, Opcode};

/// A server that takes this long for one answer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const BUFFER: usize = 256 * 1024;
const HANDSHAKE: &str = "GET / HTTP/1.1\r\n\
    Host: localhost\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
    expected: Expected,
    /// As many requests as are ever sent at once, ready to be written.
    burst: Vec<u8>,
    request_size: usize,
}

struct Expected {
    is_reply: fn(&Value) -> bool,
    /// Length of the first reply, which was checked in full.
    len: Option<usize>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, case: &Case) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let request = frame::encode(Opcode::Text, (case.request)().as_bytes());
        let mut client = Self {
            stream,
            buffer: vec![0; BUFFER].into(),
            filled: 0,
            expected: Expected { is_reply: case.is_reply, len: None },
            burst: request.repeat(case.in_flight),
            request_size: request.len(),
        };
        client.upgrade()?;
        Ok(client)
    }

    fn upgrade(&mut self) -> Result<()> {
        write(&mut self.stream, HANDSHAKE.as_bytes())?;
        loop {
            self.fill()?;
            let head = &self.buffer[..self.filled];
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 101 ") {
                    return Err(String::from_utf8_lossy(&head[..end]).into());
                }
                self.consume(end + 4);
                return Ok(());
            }
        }
    }

    /// Sends `count` requests and returns when the last one is answered. Never more than the case
    /// allows are unanswered, and never fewer than half of that, so that requests go out in bursts.
    pub(crate) fn exchange(&mut self, count: usize) -> Result<()> {
        let window = self.burst.len() / self.request_size;
        let mut unsent = count;
        let mut unanswered = 0;
        while unsent + unanswered > 0 {
            let now = unsent.min(window - unanswered);
            if now * 2 >= window || now == unsent {
                write(&mut self.stream, &self.burst[..now * self.request_size])?;
                unsent -= now;
                unanswered += now;
            }
            self.fill()?;
            unanswered = unanswered
                .checked_sub(self.take_replies()?)
                .ok_or("the server answered more than it was asked")?;
        }
        Ok(())
    }

    /// Checks the replies that are complete and returns how many there were.
    fn take_replies(&mut self) -> Result<usize> {
        let mut replies = 0;
        let mut taken = 0;
        while let Some(frame) = frame::decode(&self.buffer[taken..self.filled])? {
            match frame.opcode {
                Opcode::Text => {
                    self.expected.check(frame.payload)?;
                    replies += 1;
                }
                Opcode::Ping => {
                    write(&mut self.stream, &frame::encode(Opcode::Pong, frame.payload))?;
                }
                Opcode::Pong => {}
                Opcode::Close => return Err(unexpected(frame.payload)),
            }
            taken += frame.size;
        }
        self.consume(taken);
        Ok(replies)
    }

    fn fill(&mut self) -> Result<()> {
        let read = poll(|| self.stream.read(&mut self.buffer[self.filled..]))?;
        if read == 0 {
            return Err("the server closed the connection, or a reply does not fit".into());
        }
        self.filled += read;
        Ok(())
    }

    fn consume(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}

impl Expected {
    fn check(&mut self, reply: &[u8]) -> Result<()> {
        let right = match self.len {
            Some(len) => reply.len() == len,
            None => (self.is_reply)(&serde_json::from_slice(reply)?),
        };
        self.len = Some(reply.len());
        if right { Ok(()) } else { Err(unexpected(reply)) }
    }
}

fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll(|| stream.write(bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Repeats an operation on a non-blocking socket until the socket is ready for it.
fn poll(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    let start = Instant::now();
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if start.elapsed() > PATIENCE {
                    return Err(ErrorKind::TimedOut.into());
                }
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

fn unexpected(payload: &[u8]) -> Box<dyn std::error::Error> {
    format!("unexpected answer: {}", String::from_utf8_lossy(payload)).into()
}
