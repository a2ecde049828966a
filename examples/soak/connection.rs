//! One connection of a client, which checks every message that it receives.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::request::{Incoming, Request};
use crate::shared::{Shared, Stage};
use crate::stream::ClientStream;
use crate::tally::{Count, Fault};
use crate::verdict::{self, ACCEPTED, ARRIVED, ClientHalf, End, Manner};
use crate::{Failure, Result};

/// A client that reads must receive every answer within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The server must end a connection within this time after the client has ended its side.
const END_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The size of a small receive buffer in bytes, with which a stall blocks the server early.
const SMALL_BUFFER: u32 = 16 * 1024;
const READ_BUFFER: usize = 4 * 1024;

/// The state of the connection after a step: still open, or ended in this way.
pub(crate) type Flow = ControlFlow<End>;

pub(crate) struct Connection {
    shared: Arc<Shared>,
    socket: WebSocketStream<ClientStream>,
    key: String,
    life: u64,
    pub(crate) manner: Manner,
    pending: VecDeque<Pending>,
    next_id: u64,
    messages: u64,
    answers: u64,
    answers_since_stop: usize,
    /// The last number received from each publisher.
    sources: HashMap<String, u64>,
    /// The next number to publish in each room.
    published: HashMap<String, u64>,
}

struct Pending {
    id: u64,
    request: Request,
    sent: Instant,
}

/// Opens a TCP connection to the server.
pub(crate) async fn connect(shared: &Shared, has_small_buffer: bool) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if has_small_buffer {
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
    }
    let stream = socket.connect((Ipv4Addr::LOCALHOST, shared.port).into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        key: &str,
        life: u64,
        has_small_buffer: bool,
    ) -> Result<Self> {
        let address = format!("ws://localhost/?key={key}");
        let handshake = async {
            let stream = connect(shared, has_small_buffer).await?;
            let stream = ClientStream::new(stream);
            // The default read buffer of each connection has 128 KiB.
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
            let (socket, _) = client_async_with_config(address, stream, Some(config)).await?;
            Result::<_, Failure>::Ok(socket)
        };
        let socket = timeout(CONNECT_TIMEOUT, handshake).await.map_err(|_| "timed out")??;
        shared.tally.count(Count::Connections);
        let life = match *shared.stage.borrow() {
            // The server restarted while the kernel was still trying to connect.
            Stage::Up { life } => life,
            Stage::Down | Stage::Leaving => life,
        };
        Ok(Self {
            shared: Arc::clone(shared),
            socket,
            key: key.to_owned(),
            life,
            manner: Manner::Reads,
            pending: VecDeque::new(),
            next_id: 1,
            messages: 0,
            answers: 0,
            answers_since_stop: 0,
            sources: HashMap::new(),
            published: HashMap::new(),
        })
    }

    /// Returns the number of unanswered requests.
    pub(crate) fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// Returns a request that publishes the next `count` messages of this connection in a room.
    pub(crate) fn publication(&mut self, room: &str, count: u64) -> Request {
        let next = self.published.entry(room.to_owned()).or_insert(1);
        let first = *next;
        *next += count;
        Request::Publish { room: room.to_owned(), first, count }
    }

    /// Sends requests in one write. If the write fails, the next read shows how the connection
    /// ended.
    pub(crate) async fn send(&mut self, requests: impl IntoIterator<Item = Request>) {
        for request in requests {
            let id = self.next_id;
            self.next_id += 1;
            let text = request.encode(id);
            self.pending.push_back(Pending { id, request, sent: Instant::now() });
            self.shared.tally.count(Count::Requests);
            let _ = self.socket.feed(Message::text(text)).await;
        }
        let _ = self.socket.flush().await;
    }

    /// Reads messages for the given time.
    pub(crate) async fn read_for(&mut self, duration: Duration) -> Flow {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            match timeout_at(end, self.socket.next()).await {
                Ok(received) => self.take(received).await?,
                Err(_) => break,
            }
        }
        Flow::Continue(())
    }

    /// Reads until every request is answered.
    pub(crate) async fn read_answers(&mut self) -> Flow {
        while !self.pending.is_empty() {
            let waiting = self.pending.len();
            let overdue = Instant::now() + ANSWER_TIMEOUT;
            while self.pending.len() == waiting {
                match timeout_at(overdue, self.socket.next()).await {
                    Ok(received) => self.take(received).await?,
                    Err(_) => {
                        let detail = format!("{}, {waiting} requests", self.key);
                        self.shared.tally.fault(Fault::Overdue, detail);
                        self.manner = Manner::Abandons;
                        return Flow::Break(End::Dropped);
                    }
                }
            }
        }
        Flow::Continue(())
    }

    /// Stops reading for the given time. The client must catch up afterwards.
    pub(crate) async fn stall(&mut self, pause: Duration) {
        self.manner = Manner::Stalled(pause);
        sleep(pause).await;
    }

    /// Sends a close frame and reads the remaining messages.
    pub(crate) async fn close(&mut self) -> Flow {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
        let _ = self.socket.send(Message::Close(Some(frame))).await;
        self.read_to_end().await
    }

    /// Ends the stream without a close frame and reads the remaining messages.
    pub(crate) async fn finish(&mut self) -> Flow {
        let _ = self.socket.get_mut().finish().await;
        self.read_to_end().await
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) -> Flow {
        self.manner = Manner::Abandons;
        // If this call fails, the connection ends without a reset.
        let _ = self.socket.get_ref().tcp().set_zero_linger();
        Flow::Break(End::Dropped)
    }

    async fn read_to_end(&mut self) -> Flow {
        let overdue = Instant::now() + END_TIMEOUT;
        while let Ok(received) = timeout_at(overdue, self.socket.next()).await {
            self.take(received).await?;
        }
        self.not_ended();
        self.manner = Manner::Abandons;
        Flow::Break(End::Dropped)
    }

    fn not_ended(&self) {
        let detail = format!("{}, {:?}, {} unanswered", self.key, self.manner, self.pending.len());
        self.shared.tally.fault(Fault::NoEnd, detail);
    }

    /// Drops the connection and reports how it ended.
    pub(crate) fn conclude(self, end: End) {
        let since_stop = self.shared.since_stop(self.life);
        let outstanding = self.pending.len() + self.answers_since_stop;
        let old = since_stop.filter(|_| outstanding <= ACCEPTED).map(|since| since + ARRIVED);
        let is_accepted = |pending: &&Pending| old.is_some_and(|age| pending.sent.elapsed() > age);
        let client = ClientHalf {
            unanswered_accepted: self.pending.iter().filter(is_accepted).count(),
            unanswered: self.pending.len(),
            key: self.key,
            life: self.life,
            manner: self.manner,
            end,
            since_stop,
            messages: self.messages,
            answers: self.answers,
        };
        drop(self.socket);
        verdict::judge(&self.shared, &client);
        self.shared.ledger.client_half(&self.shared, client);
    }

    async fn take(&mut self, received: Option<Result<Message, Error>>) -> Flow {
        match received {
            Some(Ok(Message::Text(text))) => self.take_text(&text),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(0, |frame| frame.code.into());
                self.wait_for_end().await;
                return Flow::Break(End::Closed(code));
            }
            Some(Ok(_)) => {}
            Some(Err(Error::Io(error))) => return Flow::Break(End::Broken(error.kind())),
            Some(Err(_)) | None => return Flow::Break(End::Lost),
        }
        Flow::Continue(())
    }

    /// Answers the server's close frame and waits until the server has ended the connection.
    async fn wait_for_end(&mut self) {
        let ended = async { while let Some(Ok(_)) = self.socket.next().await {} };
        if timeout(END_TIMEOUT, ended).await.is_err() {
            self.not_ended();
        }
    }

    fn take_text(&mut self, text: &str) {
        self.messages += 1;
        match serde_json::from_str::<Incoming<'_>>(text) {
            Ok(Incoming { source: Some(source), seq: Some(seq), .. }) => {
                self.take_news(source, seq)
            }
            Ok(Incoming { kind: "welcome", .. }) if self.messages == 1 => {}
            Ok(answer) => self.take_answer(&answer),
            Err(error) => self.shared.tally.fault(Fault::WrongAnswer, error),
        }
    }

    fn take_news(&mut self, source: &str, seq: u64) {
        let tally = &self.shared.tally;
        tally.count(Count::News);
        let Some(last) = self.sources.get_mut(source) else {
            self.sources.insert(source.to_owned(), seq);
            return;
        };
        if seq != *last + 1 {
            let fault = if seq > *last { Fault::NewsGap } else { Fault::NewsRepeated };
            tally.fault(fault, format!("{}: {seq} after {last} of {source}", self.key));
        }
        *last = seq;
    }

    fn take_answer(&mut self, answer: &Incoming<'_>) {
        self.answers += 1;
        let tally = &self.shared.tally;
        tally.count(Count::Answers);
        if self.shared.since_stop(self.life).is_some() {
            self.answers_since_stop += 1;
        }
        let Some(Pending { id, request, .. }) = self.pending.pop_front() else {
            tally.fault(Fault::WrongAnswer, format!("{}: {answer:?} to nothing", self.key));
            return;
        };
        if answer.correlation_id != Some(id) || !request.is_answered_by(answer) {
            let detail = format!("{}: {answer:?} to {request:?} with id {id}", self.key);
            tally.fault(Fault::WrongAnswer, detail);
        }
        if matches!(request, Request::Panic) {
            tally.count(Count::Panics);
        }
    }
}
