//! Connections that close while many messages are still queued for a slow client.

use std::process::Command;
use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::testing::TestServer;
use aiows::{DisconnectReason, Limits, Router, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, sleep};

use crate::raw::{Ended, Ends, Frame, Raw, close_payload, ends, limits, masked, parse};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The size of a message in bytes.
const SIZE: usize = 20_000;

/// Shorter than the time that a slow client needs to read its queue.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(700);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

fn text(n: usize) -> String {
    format!("{n:0SIZE$}")
}

async fn send_texts(call: &Call, count: usize) {
    for n in 0..count {
        call.websocket().send_text(&text(n)).await.unwrap();
    }
}

fn hasty() -> Limits {
    limits(|limits| (limits.close_timeout, limits.write_timeout) = (CLOSE_TIMEOUT, WRITE_TIMEOUT))
}

/// Returns a server that sends messages of 20 kB: 90 of them and a close frame for `close`, and 50
/// for `queue`.
fn server(ends: &Ends, limits: Limits) -> Server {
    let router = Router::new()
        .route(Route::message("close", async |call: Call| {
            send_texts(&call, 90).await;
            call.websocket().close(4000, "done");
        }))
        .route(Route::message("queue", async |call: Call| send_texts(&call, 50).await));
    ends.watch(router).limits(limits)
}

/// A client that reads 6 kB every 10 ms, as it would over a slow link.
struct Slow {
    stream: TcpStream,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

impl Slow {
    async fn open(server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        Self::over(socket.connect(server.address()).await.unwrap()).await
    }

    async fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let mut raw = Raw::over(stream);
        raw.handshake().await;
        Self { stream: raw.into_stream(), bytes: Vec::new(), frames: Vec::new() }
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&masked(first, payload)).await.unwrap();
    }

    /// Reads until `is_enough` returns true for the last frame, or to the end of the stream.
    /// Answers every ping, and if `pings` is set, sends a ping every 100 ms.
    async fn read(&mut self, pings: bool, is_enough: impl Fn(&Frame) -> bool) {
        let mut ticks = interval(Duration::from_millis(10));
        for tick in 1.. {
            ticks.tick().await;
            if pings && tick % 10 == 0 {
                self.send(PING, b"").await;
            }
            let mut buffer = [0; 6_000];
            match self.stream.read(&mut buffer).await.expect("no reset") {
                0 => return,
                read => self.bytes.extend_from_slice(&buffer[..read]),
            }
            while let Some((frame, length)) = parse(&self.bytes) {
                self.bytes.drain(..length);
                if frame.first == PING {
                    self.send(PONG, &frame.payload).await;
                }
                self.frames.push(frame);
            }
            if self.frames.last().is_some_and(&is_enough) {
                return;
            }
        }
    }

    /// Expects this many complete texts in order, and then only the given close frame, if any.
    fn expect(&self, texts: usize, close: Option<(u16, &str)>) {
        let is_not_ping_or_pong = |frame: &&Frame| frame.first != PONG && frame.first != PING;
        let frames: Vec<_> = self.frames.iter().filter(is_not_ping_or_pong).collect();
        for (n, frame) in frames.iter().take(texts).enumerate() {
            assert_eq!((frame.first, frame.payload.len()), (TEXT, SIZE), "frame {n}");
            assert_eq!(frame.text(), text(n), "frame {n}");
        }
        let last = frames.get(texts..).expect("all texts").iter();
        let last: Vec<_> = last.map(|frame| (frame.first, &frame.payload[..])).collect();
        let payload = close.map(|(code, reason)| close_payload(code, reason));
        assert_eq!(last, Vec::from_iter(payload.iter().map(|payload| (CLOSE, &payload[..]))));
        assert_eq!(self.bytes, b"", "an incomplete frame");
    }
}

fn is_close(frame: &Frame) -> bool {
    frame.first == CLOSE
}

async fn expect_ended(ended: &Ended, code: u16, reason: &str) {
    let (code, reason) = (code.into(), reason.to_owned());
    assert_eq!(ended.next().await, DisconnectReason::Closed { code, reason });
}

#[tokio::test]
async fn a_slow_client_receives_everything_sent_before_a_close() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"close"}"#).await;
    slow.read(true, is_close).await;
    slow.expect(90, Some((4000, "done")));
    // The client still sends before the stream ends.
    slow.send(PING, b"").await;
    slow.send(CLOSE, &close_payload(4000, "done")).await;
    slow.read(false, |_| false).await;
    slow.expect(90, Some((4000, "done")));
    expect_ended(&ended, 4000, "done").await;
}

#[tokio::test]
async fn a_slow_client_that_never_answers_the_close_frame_sees_the_stream_end_after_it() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"close"}"#).await;
    slow.read(true, |_| false).await;
    slow.expect(90, Some((4000, "done")));
    expect_ended(&ended, 4000, "done").await;
}

/// Waits until the server has queued or written this many messages.
async fn await_queued(server: &TestServer, messages: u64) {
    while server.handle().stats().outbound.queued < messages {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_slow_client_receives_its_queue_and_1001_at_shutdown() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"queue"}"#).await;
    await_queued(&server, 50).await;
    let shutdown = tokio::spawn(server.shutdown(Duration::from_secs(20)));
    slow.read(true, |_| false).await;
    slow.expect(50, Some((1001, "Server shutdown")));
    shutdown.await.unwrap().unwrap();
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

#[tokio::test]
async fn a_shutdown_that_cuts_off_a_client_with_a_backlog_is_forced() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"queue"}"#).await;
    await_queued(&server, 50).await;
    let shutdown = tokio::spawn(server.shutdown(Duration::from_millis(100)));
    slow.read(false, |_| false).await;
    assert!(slow.frames.len() < 50);
    assert!(shutdown.await.unwrap().unwrap_err().is_forced());
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

#[tokio::test]
async fn a_slow_client_receives_its_answers_after_its_own_close_frame() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"queue"}"#).await;
    slow.send(CLOSE, &close_payload(1000, "bye")).await;
    slow.read(false, |_| false).await;
    slow.expect(50, Some((1000, "bye")));
    let left = DisconnectReason::Peer { code: Some(1000.into()), reason: "bye".into() };
    assert_eq!(ended.next().await, left);
}

#[tokio::test]
async fn a_slow_client_receives_its_answers_after_it_has_ended_its_side_of_the_stream() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"queue"}"#).await;
    slow.stream.shutdown().await.unwrap();
    slow.read(false, |_| false).await;
    slow.expect(50, None);
    let lost = DisconnectReason::Peer { code: None, reason: String::new() };
    assert_eq!(ended.next().await, lost);
}

#[tokio::test]
async fn a_slow_client_receives_its_answers_and_1002_after_a_protocol_violation() {
    let (ends, ended) = ends();
    let server = TestServer::bind(server(&ends, hasty())).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"queue"}"#).await;
    slow.send(0x83, b"").await;
    slow.read(true, |_| false).await;
    slow.expect(50, Some((1002, "Protocol violation")));
    let violation = DisconnectReason::Protocol { code: 1002.into() };
    assert_eq!(ended.next().await, violation);
}

/// A ping behind a full kernel buffer would not be answered in time.
#[tokio::test]
async fn a_slow_client_that_answers_pings_does_not_time_out() {
    let (ends, ended) = ends();
    let often = Duration::from_millis(500);
    let mut limits = hasty();
    (limits.ping_interval, limits.ping_timeout) = (often, often);
    let server = TestServer::bind(server(&ends, limits)).await;
    let mut slow = Slow::open(&server).await;
    slow.send(TEXT, br#"{"type":"queue"}"#).await;
    let last = text(49);
    slow.read(false, |frame| frame.payload == last.as_bytes()).await;
    slow.expect(50, None);
    slow.read(false, |frame| frame.first == PING).await;
    slow.send(CLOSE, &close_payload(1000, "")).await;
    let left = DisconnectReason::Peer { code: Some(1000.into()), reason: String::new() };
    assert_eq!(ended.next().await, left);
}

/// The environment variable that marks the child process on the slow network.
const CHILD: &str = "AIOWS_TEST_SLOW_LINK";

/// The shell script that runs a test on a network of 500 kB/s, if the system allows it.
const SLOW_LINK: &str = r#"
    ip link set lo up && tc qdisc add dev lo root tbf rate 4mbit burst 68k latency 100ms || exit 1
    exec "$0" --exact "$1""#;

/// The exit code of a failed test.
const FAILED: i32 = 101;

#[expect(clippy::print_stderr, reason = "the test harness shows it on failure only")]
fn over_slow_link(test: &str) {
    let mut child = Command::new("unshare");
    child.args(["--map-root-user", "--net", "sh", "-c", SLOW_LINK]);
    child.arg(std::env::current_exe().unwrap()).arg(test).env(CHILD, "1");
    match child.output() {
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            eprintln!("{}", String::from_utf8_lossy(&printed));
            // Other failures mean that the system provides no such network.
            assert_ne!(output.status.code(), Some(FAILED));
        }
        Err(error) => eprintln!("{error}"),
    }
}

/// The client reads as fast as the link allows and answers pings.
#[tokio::test]
async fn a_client_on_a_slow_link_receives_everything_sent_before_a_close() {
    if std::env::var_os(CHILD).is_none() {
        return over_slow_link(
            "backlog::a_client_on_a_slow_link_receives_everything_sent_before_a_close",
        );
    }
    let (ends, ended) = ends();
    // Shorter than the link needs for the queue, but long enough for a busy machine.
    let short = Duration::from_millis(1500);
    let mut limits = hasty();
    (limits.ping_interval, limits.ping_timeout, limits.close_timeout) = (short, short, short);
    let server = TestServer::bind(server(&ends, limits)).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let mut client = Slow::over(stream).await;
    client.send(TEXT, br#"{"type":"close"}"#).await;
    client.read(true, is_close).await;
    client.expect(90, Some((4000, "done")));
    client.send(CLOSE, &close_payload(4000, "done")).await;
    client.read(false, |_| false).await;
    expect_ended(&ended, 4000, "done").await;
}

/// Returns how long a shutdown takes if a client reads as `read` does and then stops reading.
async fn shutdown_duration(limits: Limits, read: impl AsyncFn(&mut Raw)) -> Duration {
    let (ends, _ended) = ends();
    let server = TestServer::new(server(&ends, limits));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"queue"}"#).await;
    await_queued(&server, 50).await;
    let started = Instant::now();
    let shutdown = tokio::spawn(server.shutdown(Duration::from_secs(600)));
    read(&mut raw).await;
    shutdown.await.unwrap().unwrap();
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_during_a_close_is_dropped_after_the_write_timeout() {
    let long_close_timeout = || {
        let mut limits = hasty();
        limits.close_timeout = Duration::from_secs(60);
        limits
    };
    let slack = Duration::from_millis(10);
    let is_about = |took: Duration, expected| took.abs_diff(expected) < slack;
    let took = shutdown_duration(long_close_timeout(), async |_| {}).await;
    assert!(is_about(took, WRITE_TIMEOUT), "{took:?}");
    let took = shutdown_duration(long_close_timeout(), async |raw| {
        for _ in 0..3 {
            sleep(WRITE_TIMEOUT * 3 / 4).await;
            raw.take(10_000).await;
        }
    });
    let (took, expected) = (took.await, WRITE_TIMEOUT * 9 / 4 + WRITE_TIMEOUT);
    assert!(is_about(took, expected), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_close_timeout_starts_when_the_close_frame_is_written() {
    let took = shutdown_duration(hasty(), async |raw| {
        for n in 0..50 {
            sleep(CLOSE_TIMEOUT / 2).await;
            raw.expect_text(&text(n)).await;
        }
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        raw.expect_end().await;
    });
    let (took, least) = (took.await, CLOSE_TIMEOUT * 25);
    assert!((least..CLOSE_TIMEOUT * 27).contains(&took), "{took:?}");
}
