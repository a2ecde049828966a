//! The server notices that a client has left in every state of the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aiows::{
    DisconnectReason, Limits, Message, MessageId, Router, Server, State, WebSocket, message, routes,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::kit::{TestServer, over_both};
use crate::raw::{Ended, REQUEST, Raw, close_payload, ends, limits, masked};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

const SHORT: Duration = Duration::from_millis(300);

/// Reports that a handler has started, and later that its connection is about to end.
type Events = mpsc::Sender<&'static str>;

#[message("stay")]
async fn stay(ws: WebSocket, State(events): State<Events>) {
    events.send("pending").await.unwrap();
    ws.closed().await;
    events.send("closed").await.unwrap();
    std::future::pending::<()>().await;
}

struct Watched {
    server: Server,
    events: Received,
    ended: Ended,
}

struct Received(mpsc::Receiver<&'static str>);

impl Received {
    async fn expect(&mut self, event: &str) {
        let next = timeout(Duration::from_secs(5), self.0.recv()).await;
        assert_eq!(next.unwrap_or_else(|_| panic!("no event, {event} expected")), Some(event));
    }
}

/// Returns a server for one connection, with a handler that outlives its client.
fn watched(change: impl FnOnce(&mut Limits)) -> Watched {
    let (sender, events) = mpsc::channel(64);
    let (ends, ended) = ends();
    let router = Router::new().routes(routes![stay]).state::<Events>(sender);
    let server = ends.watch(router).limits(limits(|limits| {
        limits.connections = 1;
        limits.close_timeout = SHORT;
        change(limits);
    }));
    Watched { server, events: Received(events), ended }
}

fn stays(bytes: usize) -> Vec<u8> {
    let message = masked(TEXT, br#"{"type":"stay"}"#);
    message.repeat(bytes / message.len())
}

/// Expects room for a new connection within a short time after the end of the last one.
async fn expect_room(server: &TestServer) {
    for _ in 0..1000 {
        let mut raw = Raw::reach(server).await;
        raw.write(REQUEST.as_bytes()).await;
        if raw.read_head().await.starts_with("HTTP/1.1 101") {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("the server has no room");
}

/// More bytes than the server reads while a handler is pending, but fewer than the kernel buffers.
const SOME: usize = 100_000;

/// So many bytes that the end of the client's stream waits in the client's kernel.
const MUCH: usize = 1_000_000;

/// Fills the server's queue over TCP while a handler is pending, and expects that the server
/// notices the end of the connection.
async fn expect_noticed(
    bytes: usize,
    change: impl FnOnce(&mut Limits),
    end: impl AsyncFnOnce(Raw<tokio::net::TcpStream>) -> Option<Raw>,
) {
    let Watched { server, mut events, ended } = watched(change);
    let server = TestServer::bind(server).await;
    let mut raw = Raw::open(&server).await;
    raw.write(&stays(bytes)).await;
    events.expect("pending").await;
    let _kept = end(raw).await;
    events.expect("closed").await;
    assert_eq!(ended.next().await, DisconnectReason::Peer { code: None, reason: String::new() });
    expect_room(&server).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_notices_the_end_of_a_stream_while_a_handler_is_pending_and_reading_has_paused()
{
    expect_noticed(
        SOME,
        |_| {},
        async |mut raw| {
            raw.finish().await;
            Some(raw.boxed())
        },
    )
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn messages_that_are_unread_when_a_client_ends_its_stream_are_handled() {
    #[message("stay")]
    async fn count(ws: WebSocket, State(handled): State<Arc<AtomicUsize>>) {
        // The server notices the end while this handler is pending and reading has paused.
        ws.closed().await;
        handled.fetch_add(1, Ordering::Relaxed);
    }
    let handled = Arc::<AtomicUsize>::default();
    let (ends, ended) = ends();
    let router = Router::new().routes(routes![count]).state(Arc::clone(&handled));
    let server = TestServer::bind(ends.watch(router).limits(limits(|_| {}))).await;
    let mut raw = Raw::open(&server).await;
    raw.write(&stays(SOME)).await;
    raw.finish().await;
    assert_eq!(ended.next().await, DisconnectReason::Peer { code: None, reason: String::new() });
    assert_eq!(
        handled.load(Ordering::Relaxed),
        stays(SOME).len() / masked(TEXT, br#"{"type":"stay"}"#).len()
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_notices_a_reset_while_a_handler_is_pending_and_reading_has_paused() {
    expect_noticed(
        MUCH,
        |_| {},
        async |raw| {
            raw.reset();
            None
        },
    )
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_notices_a_reset_after_the_end_of_a_stream() {
    expect_noticed(
        SOME,
        |_| {},
        async |mut raw| {
            raw.finish().await;
            raw.reset();
            None
        },
    )
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_later_ping_reveals_a_client_that_left_while_its_kernel_still_had_much_to_send() {
    let ping_often = |limits: &mut Limits| limits.ping_interval = Duration::from_millis(200);
    expect_noticed(MUCH, ping_often, async |mut raw| {
        assert_eq!(raw.read_frame().await.unwrap().first, PING);
        drop(raw);
        None
    })
    .await;
}

/// Waits for a permit. The messages of a client are handled in order.
#[message("wait")]
async fn wait(id: MessageId, State(permits): State<Arc<Semaphore>>) -> aiows::Result<Value> {
    permits.acquire().await?.forget();
    Ok(json!({ "done": id }))
}

fn waits(count: usize) -> Vec<u8> {
    let message = |id| json!({ "type": "wait", "id": id }).to_string();
    (0..count).flat_map(|id| masked(TEXT, message(id).as_bytes())).collect()
}

async fn expect_done(raw: &mut Raw, id: usize) {
    raw.expect_text(&format!(r#"{{"done":{id},"correlation_id":{id}}}"#)).await;
}

#[tokio::test]
async fn the_server_answers_pings_and_notices_a_close_frame_behind_a_full_queue() {
    let permits = Arc::new(Semaphore::new(0));
    let (sender, events) = mpsc::channel(64);
    let events = Mutex::new(Received(events));
    #[aiows::connect]
    async fn watch(ws: WebSocket, State(events): State<Events>) {
        let handle = ws.clone();
        ws.spawn(async move {
            handle.closed().await;
            events.send("closed").await.unwrap();
        });
    }
    let server = || {
        let router = Router::new().routes(routes![wait, watch]);
        Server::from(router.state(Arc::clone(&permits)).state::<Events>(sender.clone()))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.write(&waits(100)).await;
        raw.send(PING, b"first").await;
        let pong = raw.read_frame().await.unwrap();
        assert_eq!((pong.first, pong.payload.as_slice()), (0x8a, b"first".as_slice()));
        raw.write(&waits(1)).await;
        raw.write(&masked(CLOSE, &close_payload(1000, "bye"))).await;
        events.lock().await.expect("closed").await;
        permits.add_permits(101);
        for id in (0..100).chain([0]) {
            expect_done(&mut raw, id).await;
        }
        assert_eq!(raw.read_close(1000).await, "bye");
        raw.expect_end().await;
    })
    .await;
}

/// Sends until the stream takes no more bytes, and returns how many it took.
async fn fill(raw: &mut Raw, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Ok(more) = timeout(Duration::from_millis(1), raw.write_some(&bytes[written..])).await
    {
        written += more;
    }
    written
}

fn ping_often(limits: &mut Limits) {
    limits.ping_interval = Duration::from_secs(1);
    limits.ping_timeout = Duration::from_secs(2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_watched_is_closed_with_1008_if_reading_stays_paused() {
    let Watched { server, mut events, ended } = watched(ping_often);
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    let started = Instant::now();
    assert!(fill(&mut raw, &stays(1_000_000)).await < 400_000);
    events.expect("pending").await;
    // The server sends only one ping, because it could not read an answer.
    assert_eq!(raw.read_frame().await.unwrap().first, PING);
    assert_eq!(raw.read_close(1008).await, "Too many messages wait");
    let elapsed = started.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&elapsed), "{elapsed:?}");
    events.expect("closed").await;
    let code = aiows::CloseCode::POLICY;
    assert_eq!(ended.next().await, DisconnectReason::Protocol { code });
    drop(raw);
    expect_room(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_from_a_full_stream_makes_room_for_another() {
    let Watched { server, mut events, ended } = watched(ping_often);
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    fill(&mut raw, &stays(1_000_000)).await;
    events.expect("pending").await;
    drop(raw);
    events.expect("closed").await;
    assert_eq!(ended.next().await, DisconnectReason::Peer { code: None, reason: String::new() });
    expect_room(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_stays_open_as_long_as_its_handlers_return() {
    #[message("stay")]
    async fn doze() -> Value {
        sleep(Duration::from_millis(2500)).await;
        json!({ "done": true })
    }
    let server = Server::from(Router::new().routes(routes![doze])).limits(limits(ping_often));
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    let bytes = stays(2_000_000);
    let mut sent = fill(&mut raw, &bytes).await;
    let mut answers = 0;
    while answers < 20 {
        let frame = raw.read_frame().await.expect("an answer or a ping");
        if frame.first != PING {
            assert_eq!(frame.text(), r#"{"done":true}"#);
            answers += 1;
        }
        sent += fill(&mut raw, &bytes[sent..]).await;
    }
}

#[message("doze")]
async fn doze(id: MessageId) -> Value {
    sleep(Duration::from_millis(50)).await;
    json!({ "done": id })
}

fn dozing() -> Server {
    let router = Router::new().routes(routes![doze]);
    Server::from(router).limits(limits(|limits| limits.close_timeout = Duration::from_millis(500)))
}

fn dozes(count: usize) -> Vec<u8> {
    let message = |id| json!({ "type": "doze", "id": id }).to_string();
    (0..count).flat_map(|id| masked(TEXT, message(id).as_bytes())).collect()
}

#[tokio::test(start_paused = true)]
async fn every_handler_has_the_close_timeout_after_a_close_frame() {
    let server = TestServer::new(dozing());
    let mut raw = Raw::join(&server).await;
    raw.write(&[dozes(20), masked(CLOSE, &close_payload(1000, "bye"))].concat()).await;
    for id in 0..20 {
        expect_done(&mut raw, id).await;
    }
    assert_eq!(raw.read_close(1000).await, "bye");
    raw.expect_end().await;
}

#[tokio::test]
async fn every_handler_has_the_close_timeout_after_the_end_of_the_stream() {
    over_both(dozing, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.write(&dozes(20)).await;
        raw.finish().await;
        for id in 0..20 {
            expect_done(&mut raw, id).await;
        }
        raw.expect_end().await;
    })
    .await;
}

#[derive(Message, Deserialize)]
struct Size {
    size: usize,
}

#[message("size")]
async fn size(Size { size }: Size) -> Value {
    json!({ "x": "x".repeat(size) })
}

/// Reads slowly but steadily to the end, and returns the number of bytes.
async fn read_slowly(mut raw: Raw) -> usize {
    let mut total = 0;
    loop {
        sleep(Duration::from_millis(100)).await;
        let Some(read) = raw.read_some(16 * 1024).await else { return total };
        total += read;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_after_its_close_frame_receives_every_answer() {
    let router = Router::new().routes(routes![size]);
    let server = Server::from(router).limits(limits(|limits| {
        limits.close_timeout = Duration::from_secs(1);
        limits.outbound_size = 1000;
    }));
    let server = TestServer::new(server);
    let message =
        |size: usize| masked(TEXT, format!(r#"{{"type":"size","size":{size}}}"#).as_bytes());
    let mut raw = Raw::join(&server).await;
    let close = masked(CLOSE, &close_payload(1000, "bye"));
    raw.write(&[message(800_000), message(10), close].concat()).await;
    // The large answer has 13 fragments, and the first one is short.
    let answers = (4 + 12 * 10 + 800_008) + (2 + 18) + (2 + 5);
    assert_eq!(read_slowly(raw).await, answers);
}

#[tokio::test]
async fn a_reset_after_a_close_frame_ends_the_connection_at_once_even_if_answers_are_queued() {
    let (ends, ended) = ends();
    let server = ends.watch(Router::new().routes(routes![size]));
    // Far longer than this test may take.
    let hour = Duration::from_secs(3600);
    let server = server.limits(limits(|limits| {
        limits.close_timeout = hour;
        limits.write_timeout = hour;
        limits.connections = 1;
    }));
    let server = TestServer::bind(server).await;
    let mut raw = Raw::dial_narrow(&server).await;
    raw.handshake().await;
    let message = masked(TEXT, br#"{"type":"size","size":1000000}"#);
    let close = masked(CLOSE, &close_payload(1000, "bye"));
    raw.write(&[message.repeat(20), close].concat()).await;
    raw.await_frame().await;
    raw.reset();
    ended.next().await;
    expect_room(&server).await;
}

/// A server for one connection that waits for a close far longer than a test may take.
fn patient(router: Router) -> Server {
    Server::from(router).limits(limits(|limits| {
        limits.connections = 1;
        limits.close_timeout = Duration::from_secs(3600);
    }))
}

#[tokio::test]
async fn a_close_by_a_handler_whose_client_has_closed_ends_the_connection_at_once() {
    #[message("leave")]
    async fn leave(ws: WebSocket) {
        ws.closed().await;
        ws.close(4000, "too late");
    }
    let server = || patient(Router::new().routes(routes![leave]));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let close = masked(CLOSE, &close_payload(1000, "bye"));
        raw.write(&[masked(TEXT, br#"{"type":"leave"}"#), close].concat()).await;
        assert_eq!(raw.read_close(4000).await, "too late");
        raw.expect_end().await;
        expect_room(&server).await;
    })
    .await;
}

#[tokio::test]
async fn a_close_frame_behind_many_control_frames_ends_a_closed_connection_at_once() {
    #[message("leave")]
    async fn leave(ws: WebSocket) {
        ws.close(4000, "bye");
    }
    let server = || patient(Router::new().routes(routes![leave]));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"leave"}"#).await;
        assert_eq!(raw.read_close(4000).await, "bye");
        // More than the server handles in one turn.
        let pings = masked(PING, b"").repeat(300);
        raw.write(&[pings, masked(CLOSE, &close_payload(4000, ""))].concat()).await;
        expect_room(&server).await;
    })
    .await;
}

#[tokio::test]
async fn a_reset_behind_the_end_of_the_client_closes_the_handle_while_a_handler_is_pending() {
    #[message("watch")]
    async fn watch(ws: WebSocket, State(events): State<Events>) {
        events.send("pending").await.unwrap();
        ws.closed().await;
        events.send("closed").await.unwrap();
        while !ws.is_closed() {
            tokio::task::yield_now().await;
        }
        events.send("reset").await.unwrap();
    }
    let (sender, events) = mpsc::channel(64);
    let mut events = Received(events);
    let server = Router::new().routes(routes![watch]).state::<Events>(sender);
    let server = TestServer::bind(Server::from(server).limits(limits(|limits| {
        // Far longer than this test may take.
        limits.close_timeout = Duration::from_secs(3600);
    })))
    .await;
    for with_close_frame in [true, false] {
        let mut raw = Raw::open(&server).await;
        raw.send_text(r#"{"type":"watch"}"#).await;
        events.expect("pending").await;
        match with_close_frame {
            true => raw.send_close(1000, "bye").await,
            false => raw.finish().await,
        }
        events.expect("closed").await;
        raw.reset();
        events.expect("reset").await;
    }
}
