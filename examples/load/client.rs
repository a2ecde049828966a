//! A client that is as cheap as possible and the same for every server.
//!
//! The client polls its socket instead of sleeping in `read`. Otherwise the server would have to
//! wake a sleeping processor for every answer, which on some machines costs more than all its other
//! work.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Result;
use crate::cases::{Case, Service};
use crate::frame::{self, Opcode};

/// The timeout for one answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The buffer size for a response head. Replies get twice the size of their requests in addition.
const BUFFER: usize = 2 * 1024;
/// The close code 1000.
const NORMAL_CLOSURE: [u8; 2] = [0x03, 0xe8];
const HANDSHAKE: &str = "GET / HTTP/1.1\r\n\
    Host: localhost\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// The encoded requests of all connections of a case.
pub(crate) struct Requests {
    service: Service,
    text: String,
    /// The largest number of requests sent at once on a connection, back to back.
    burst: Vec<u8>,
    size: usize,
}

pub(crate) struct Client<'a> {
    stream: TcpStream,
    requests: &'a Requests,
    buffer: Box<[u8]>,
    filled: usize,
    /// The fragments of an incomplete reply.
    fragments: Vec<u8>,
    /// The length of the first reply, which was checked in full.
    reply_len: Option<usize>,
}

impl Requests {
    pub(crate) fn of(case: &Case) -> Self {
        Self::new(case.service, (case.request)(), case.work.in_flight())
    }

    pub(crate) fn new(service: Service, text: String, window: usize) -> Self {
        let request = frame::encode(Opcode::Text, text.as_bytes());
        Self { service, text, burst: request.repeat(window), size: request.len() }
    }

    /// Returns the largest number of unanswered requests on a connection.
    pub(crate) fn window(&self) -> usize {
        self.burst.len() / self.size
    }
}

impl<'a> Client<'a> {
    pub(crate) fn connect(address: SocketAddr, requests: &'a Requests) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let buffer = vec![0; BUFFER + 2 * requests.burst.len()].into();
        let mut client =
            Self { stream, requests, buffer, filled: 0, fragments: Vec::new(), reply_len: None };
        client.upgrade()?;
        Ok(client)
    }

    pub(crate) fn connect_many(
        address: SocketAddr,
        requests: &'a Requests,
        count: usize,
    ) -> Result<Vec<Self>> {
        (0..count).map(|_| Self::connect(address, requests)).collect()
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

    /// Sends `count` requests and returns when the last one is answered. The number of unanswered
    /// requests stays between half of the case's limit and the limit, so the client sends in
    /// bursts.
    pub(crate) fn exchange(&mut self, count: usize) -> Result<()> {
        let window = self.requests.window();
        let mut unsent = count;
        let mut unanswered = 0;
        while unsent + unanswered > 0 {
            let now = unsent.min(window - unanswered);
            if now * 2 >= window || now == unsent {
                self.send(now)?;
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

    /// Sends `count` requests, which must not exceed the case's limit of unanswered requests.
    pub(crate) fn send(&mut self, count: usize) -> Result<()> {
        Ok(write(&mut self.stream, &self.requests.burst[..count * self.requests.size])?)
    }

    /// Waits for the answer to a single request.
    pub(crate) fn receive(&mut self) -> Result<()> {
        loop {
            self.fill()?;
            match self.take_replies()? {
                0 => {}
                1 => return Ok(()),
                _ => return Err("the server answered more than it was asked".into()),
            }
        }
    }

    /// Takes the replies that have arrived, without waiting, and returns their number. More than
    /// `most` replies are an error.
    pub(crate) fn take_some(&mut self, most: usize) -> Result<usize> {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        }
        match self.take_replies()? {
            taken if taken > most => Err("a member got more than was published".into()),
            taken => Ok(taken),
        }
    }

    /// Returns the stream alone, for a member that never reads.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Starts the closing handshake.
    pub(crate) fn leave(&mut self) -> Result<()> {
        Ok(write(&mut self.stream, &frame::encode(Opcode::Close, &NORMAL_CLOSURE))?)
    }

    /// Waits until the server has ended the connection.
    pub(crate) fn wait_for_end(mut self) -> Result<()> {
        loop {
            match poll(|| self.stream.read(&mut self.buffer)) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Checks the complete replies and returns their number.
    fn take_replies(&mut self) -> Result<usize> {
        let mut replies = 0;
        let mut taken = 0;
        while let Some(frame) = frame::decode(&self.buffer[taken..self.filled])? {
            match frame.opcode {
                Opcode::Text if frame.is_last => {
                    self.requests.check(&mut self.reply_len, frame.payload)?;
                    replies += 1;
                }
                Opcode::Text | Opcode::Continuation => {
                    self.fragments.extend_from_slice(frame.payload);
                    if frame.is_last {
                        self.requests.check(&mut self.reply_len, &self.fragments)?;
                        self.fragments.clear();
                        replies += 1;
                    }
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
        if count > 0 {
            self.buffer.copy_within(count..self.filled, 0);
            self.filled -= count;
        }
    }
}

impl Requests {
    fn check(&self, first_len: &mut Option<usize>, reply: &[u8]) -> Result<()> {
        let right = match first_len.replace(reply.len()) {
            Some(len) => reply.len() == len,
            None => self.service.is_reply(self.text.as_bytes(), reply),
        };
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
    let shown = &payload[..payload.len().min(200)];
    format!("unexpected answer: {}", String::from_utf8_lossy(shown)).into()
}
