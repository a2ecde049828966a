//! Clients that stall and read again: the messages that arrive under each overflow policy, and the
//! counters.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::task::yield_now;
use tokio::time::timeout;

use aiows::error::SendError;
use aiows::messages::{Outbound, Overflow};
use aiows::routing::Route;
use aiows::testing::TestServer;
use aiows::{DisconnectReason, Limits, Message, MessageId, Router, Server, WebSocket};

use crate::raw::{Raw, ends, limits};

/// More messages than a connection buffers, in memory or in the kernel.
const MANY: u32 = 1500;

/// The capacity of the outbound queue, in messages.
const ROOM: usize = 10;

#[derive(Message, Serialize)]
pub struct Number {
    n: u32,
    padding: String,
}

pub fn number(n: u32) -> Number {
    Number { n, padding: "x".repeat(10_000) }
}

#[derive(Message, Serialize)]
struct Letters {
    text: String,
}

#[derive(Clone, Deserialize, Message, Serialize)]
#[aiows(delivery = "latest", key = "symbol")]
pub struct Tick {
    pub symbol: String,
    pub price: u32,
}

pub fn tick(symbol: &str, price: u32) -> Tick {
    Tick { symbol: symbol.to_owned(), price }
}

#[derive(Message, Serialize)]
#[aiows(delivery = "latest")]
struct Position {
    x: u32,
}

#[derive(Message, Serialize)]
#[aiows(delivery = "drop_newest")]
struct Hint {
    n: u32,
}

#[derive(Message, Serialize)]
#[aiows(delivery = "reject")]
struct Bill {
    n: u32,
}

pub fn narrow(overflow: Overflow) -> Limits {
    limits(|limits| {
        limits.overflow = overflow;
        limits.outbound_messages = ROOM;
    })
}

/// Passes the server's handle of each connection to the test.
pub struct Sockets(Arc<Mutex<mpsc::Receiver<WebSocket>>>, mpsc::Sender<WebSocket>);

impl Sockets {
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        Self(Arc::new(Mutex::new(receiver)), sender)
    }

    pub fn router(&self) -> Router {
        let sender = self.1.clone();
        Router::new().route(Route::connect(move |call: aiows::extract::Call| {
            sender.try_send(call.websocket().clone()).unwrap();
            async {}
        }))
    }

    pub async fn next(&self) -> WebSocket {
        let next = timeout(Duration::from_secs(5), async { self.0.lock().await.recv().await });
        next.await.unwrap().unwrap()
    }
}

/// Runs a check with a client that has not read anything yet, over TCP and in memory.
async fn over_narrow(limits: Limits, check: impl AsyncFn(WebSocket, Raw, &TestServer)) {
    let sockets = Sockets::new();
    let server = || Server::from(sockets.router()).limits(limits.clone());
    let bound = TestServer::bind(server()).await;
    let mut raw = Raw::dial_narrow(&bound).await.boxed();
    raw.handshake().await;
    check(sockets.next().await, raw, &bound).await;
    let memory = TestServer::new(server());
    let raw = Raw::join(&memory).await;
    check(sockets.next().await, raw, &memory).await;
}

/// Sends numbers to a client that reads none of them.
async fn stall(ws: &WebSocket) {
    for n in 0..MANY {
        ws.send(&number(n)).await.unwrap();
    }
    settle().await;
}

/// Lets the session write until its socket would block.
async fn settle() {
    for _ in 0..500 {
        yield_now().await;
    }
}

pub async fn read_numbers(raw: &mut Raw, count: u64) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(raw.read_json().await["n"].as_u64().unwrap() as u32);
    }
    numbers
}

fn assert_sums(outbound: Outbound) {
    let Outbound { queued, sent, dropped, pending, .. } = outbound;
    assert_eq!(queued, sent + dropped + pending, "{outbound:?}");
}

async fn expect_alive(ws: &WebSocket, raw: &mut Raw) {
    ws.send_text("still here").await.unwrap();
    raw.expect_text("still here").await;
}

#[tokio::test]
async fn the_newest_messages_arrive_if_the_oldest_are_dropped() {
    over_narrow(narrow(Overflow::DropOldest), async |ws, mut raw, server| {
        stall(&ws).await;
        let stalled = ws.outbound();
        assert_sums(stalled);
        assert_eq!((stalled.queued, stalled.pending), (MANY.into(), ROOM as u64));
        assert!(stalled.dropped > 0, "{stalled:?}");
        let numbers = read_numbers(&mut raw, stalled.queued - stalled.dropped).await;
        assert_eq!(numbers[..6], [0, 1, 2, 3, 4, 5]);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        // One message was partly written when the client stalled. It is not dropped.
        let newest: Vec<u32> = (MANY - ROOM as u32 + 1..MANY).collect();
        assert_eq!(numbers[numbers.len() - newest.len()..], newest);
        expect_alive(&ws, &mut raw).await;
        settle().await;
        let after = ws.outbound();
        assert_eq!((after.sent, after.pending), (numbers.len() as u64 + 1, 0));
        assert_eq!((after.dropped, after.peak), (stalled.dropped, ROOM as u64));
        assert_eq!(server.handle().stats().outbound, after);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_messages_arrive_if_the_newest_are_dropped() {
    over_narrow(narrow(Overflow::DropNewest), async |ws, mut raw, server| {
        stall(&ws).await;
        let stalled = ws.outbound();
        assert_sums(stalled);
        assert_eq!(stalled.queued, u64::from(MANY));
        assert_eq!(server.handle().stats().outbound, stalled);
        let arriving = stalled.queued - stalled.dropped;
        let numbers = read_numbers(&mut raw, arriving).await;
        assert_eq!(numbers[..15], (0..15).collect::<Vec<_>>());
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(numbers.last().unwrap() < &(MANY - 1), "{numbers:?}");
        expect_alive(&ws, &mut raw).await;
    })
    .await;
}

#[tokio::test]
async fn every_accepted_message_arrives_if_a_full_queue_returns_an_error() {
    over_narrow(narrow(Overflow::Reject), async |ws, mut raw, _| {
        let mut refused = 0;
        let mut accepted = Vec::new();
        for n in 0..MANY {
            match ws.try_send(&number(n)) {
                Ok(()) => accepted.push(n),
                Err(SendError::Full) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            yield_now().await;
        }
        assert!(refused > 0);
        assert_eq!((ws.outbound().queued, ws.outbound().dropped), (accepted.len() as u64, 0));
        assert_eq!(read_numbers(&mut raw, accepted.len() as u64).await, accepted);
        expect_alive(&ws, &mut raw).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_receives_the_latest_message_of_each_key_at_the_first_one_s_position() {
    over_narrow(narrow(Overflow::Disconnect), async |ws, mut raw, server| {
        let mut sent = 0;
        while ws.outbound().pending < 4 {
            ws.try_send(&number(sent)).unwrap();
            sent += 1;
            settle().await;
        }
        let before = ws.outbound();
        for price in 0..1000 {
            ws.send(&tick("AAPL", price)).await.unwrap();
            ws.try_send(&tick("MSFT", price + 1)).unwrap();
            ws.try_send(&Position { x: price }).unwrap();
        }
        let stalled = ws.outbound();
        assert_sums(stalled);
        assert_eq!(stalled.queued, before.queued + 3000);
        assert_eq!((stalled.replaced, stalled.dropped), (2997, 2997));
        assert_eq!(stalled.pending, before.pending + 3);
        assert_eq!(server.handle().stats().outbound, stalled);
        let numbers = read_numbers(&mut raw, sent.into()).await;
        assert_eq!(numbers, (0..sent).collect::<Vec<_>>());
        for expected in [
            json!({"type": "tick", "symbol": "AAPL", "price": 999}),
            json!({"type": "tick", "symbol": "MSFT", "price": 1000}),
            json!({"type": "position", "x": 999}),
        ] {
            assert_eq!(raw.read_json().await, expected);
        }
        settle().await;
        ws.send(&tick("AAPL", 7)).await.unwrap();
        assert_eq!(raw.read_json().await["price"], 7);
    })
    .await;
}

/// Stalls a client in memory, so that the queue has room for exactly this many further messages.
pub async fn stall_exactly(ws: &WebSocket, room: usize) -> u32 {
    let mut sent = 0;
    while ws.outbound().pending < (ROOM - room) as u64 {
        ws.try_send(&number(sent)).unwrap();
        sent += 1;
        settle().await;
    }
    sent
}

pub async fn in_memory(overflow: Overflow) -> (WebSocket, Raw, TestServer) {
    let sockets = Sockets::new();
    let server = TestServer::new(Server::from(sockets.router()).limits(narrow(overflow)));
    let raw = Raw::join(&server).await;
    (sockets.next().await, raw, server)
}

#[tokio::test]
async fn a_latest_message_that_replaces_no_other_is_subject_to_the_server_s_overflow_policy() {
    let (ws, mut raw, _server) = in_memory(Overflow::DropNewest).await;
    let sent = stall_exactly(&ws, 1).await;
    for symbol in ["AAPL", "MSFT", "AAPL"] {
        ws.try_send(&tick(symbol, 1)).unwrap();
    }
    assert_eq!((ws.outbound().replaced, ws.outbound().dropped), (1, 2));
    read_numbers(&mut raw, sent.into()).await;
    assert_eq!(raw.read_json().await["symbol"], "AAPL");
    expect_alive(&ws, &mut raw).await;
}

#[tokio::test]
async fn a_message_type_may_override_the_overflow_policy() {
    let (ws, mut raw, _server) = in_memory(Overflow::Disconnect).await;
    let sent = stall_exactly(&ws, 1).await;
    ws.send(&Hint { n: 1 }).await.unwrap();
    ws.send(&Hint { n: 2 }).await.unwrap();
    ws.try_send(&Hint { n: 3 }).unwrap();
    assert!(matches!(ws.try_send(&Bill { n: 4 }), Err(SendError::Full)));
    assert!(matches!(ws.try_send(&number(5)), Err(SendError::Full)));
    assert_eq!((ws.outbound().queued, ws.outbound().dropped), (u64::from(sent) + 3, 2));
    read_numbers(&mut raw, sent.into()).await;
    assert_eq!(raw.read_json().await, json!({"type": "hint", "n": 1}));
    expect_alive(&ws, &mut raw).await;
}

#[tokio::test]
async fn replies_are_never_replaced() {
    let (ws, mut raw, _server) = in_memory(Overflow::Disconnect).await;
    let sent = stall_exactly(&ws, 5).await;
    for id in 1..=3 {
        ws.reply(&MessageId::from(id), &tick("AAPL", 1)).await.unwrap();
    }
    read_numbers(&mut raw, sent.into()).await;
    for id in 1..=3 {
        assert_eq!(raw.read_json().await["correlation_id"], id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_receives_every_message_of_send() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let router =
            Router::new().route(Route::message("many", async |call: aiows::extract::Call| {
                for n in 0..MANY {
                    call.websocket().send(&number(n)).await?;
                }
                Ok::<_, SendError>(json!({"type": "sent"}))
            }));
        let server = TestServer::bind(Server::from(router).limits(narrow(overflow))).await;
        let mut raw = Raw::open(&server).await.boxed();
        raw.send_text(r#"{"type":"many"}"#).await;
        // The client reads more messages at once than the queue holds.
        assert_eq!(read_numbers(&mut raw, 15).await, (0..15).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_totals_keep_the_counts_of_ended_connections() {
    let (ends, ended) = ends();
    let sockets = Sockets::new();
    let server = TestServer::new(ends.watch(sockets.router()).limits(narrow(Overflow::Reject)));
    let mut sum = 0;
    for _ in 0..3 {
        let mut raw = Raw::join(&server).await;
        let ws = sockets.next().await;
        let sent = stall_exactly(&ws, 2).await;
        read_numbers(&mut raw, u64::from(sent) - ROOM as u64).await;
        drop(raw);
        ended.next().await;
        while ws.outbound().pending > 0 {
            yield_now().await;
        }
        assert_sums(ws.outbound());
        assert!(ws.outbound().dropped > 0, "{:?}", ws.outbound());
        sum += ws.outbound().queued;
    }
    let all = server.handle().stats().outbound;
    assert_sums(all);
    assert_eq!((all.queued, all.pending), (sum, 0));
}

/// Sends to a client that does not read until this many bytes are pending; returns the number of
/// messages sent.
async fn fill(ws: &WebSocket, bytes: u64) -> u32 {
    let mut sent = 0;
    while ws.outbound().pending_bytes < bytes {
        ws.try_send(&number(sent)).unwrap();
        sent += 1;
        settle().await;
    }
    sent
}

const POLICIES: [Overflow; 4] =
    [Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject];

fn shared_bound(overflow: Overflow) -> Limits {
    limits(|limits| {
        limits.overflow = overflow;
        limits.outbound_total = 100_000;
    })
}

#[tokio::test]
async fn a_client_that_pauses_is_not_closed_because_of_other_clients_queues() {
    for overflow in POLICIES {
        let (ends, ended) = ends();
        let sockets = Sockets::new();
        let server = TestServer::new(ends.watch(sockets.router()).limits(shared_bound(overflow)));
        let (mut raws, mut joined) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            raws.push(Raw::join(&server).await);
            joined.push(sockets.next().await);
        }
        fill(&joined[0], 50_000).await;
        fill(&joined[1], 40_000).await;
        let sent = fill(&joined[2], 20_000).await;
        // Only the connection with the largest queue is closed.
        assert_eq!(closed_flags(&joined), [true, false, false], "{overflow:?}");
        assert_eq!(read_numbers(&mut raws[2], sent.into()).await, (0..sent).collect::<Vec<_>>());
        expect_alive(&joined[2], &mut raws[2]).await;
        while raws[0].read_frame().await.unwrap().first != 0x88 {}
        raws[0].send_close(1008, "").await;
        assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
        settle().await;
        let stats = server.handle().stats();
        assert_eq!(stats.active, 2, "{overflow:?}");
        assert_sums(stats.outbound);
    }
}

#[tokio::test]
async fn a_client_is_not_closed_because_of_messages_that_its_policy_drops() {
    let sockets = Sockets::new();
    let server = Server::from(sockets.router()).limits(shared_bound(Overflow::DropOldest));
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    let ws = sockets.next().await;
    // The first message is partly written and stays in the queue. Together with it, each of the
    // others exceeds the bound.
    for (letter, length) in [("a", 190_000), ("b", 50_000), ("c", 40_000)] {
        ws.try_send(&Letters { text: letter.repeat(length) }).unwrap();
        settle().await;
    }
    let outbound = ws.outbound();
    assert_eq!((outbound.pending, outbound.dropped, ws.is_closed()), (2, 1, false));
    for (letter, length) in [("a", 190_000), ("c", 40_000)] {
        assert_eq!(raw.read_json().await["text"], letter.repeat(length));
    }
    expect_alive(&ws, &mut raw).await;
}

fn closed_flags(sockets: &[WebSocket]) -> Vec<bool> {
    sockets.iter().map(WebSocket::is_closed).collect()
}

#[tokio::test]
async fn the_pending_bytes_of_all_clients_that_do_not_read_are_bounded() {
    let sockets = Sockets::new();
    let server =
        TestServer::new(Server::from(sockets.router()).limits(shared_bound(Overflow::Reject)));
    let (mut raws, mut joined) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        raws.push(Raw::join(&server).await);
        let ws = sockets.next().await;
        for n in 0..20 {
            if matches!(ws.try_send(&number(n)), Err(SendError::Closed)) {
                break;
            }
            settle().await;
            let waiting = server.handle().stats().outbound.pending_bytes;
            // Each empty queue accepts one message, even beyond the bound.
            assert!(waiting <= 100_000 + 10 * 10_100, "{waiting}");
        }
        joined.push(ws);
    }
    assert!(joined.iter().any(|ws| !ws.is_closed()));
    drop(raws);
    while joined.iter().any(|ws| ws.outbound().pending > 0) {
        settle().await;
    }
}

#[tokio::test]
async fn bursts_to_clients_that_do_not_read_share_one_bound() {
    for is_published in [true, false] {
        let sockets = Sockets::new();
        let bounded = limits(|limits| limits.outbound_total = 500_000);
        let server = TestServer::new(Server::from(sockets.router()).limits(bounded));
        let (mut raws, mut joined) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            raws.push(Raw::join(&server).await);
            joined.push(sockets.next().await);
        }
        // No session runs in between, so no socket has reported yet that it would block.
        for n in 0..10 {
            if is_published {
                server.handle().hub().all().send(&number(n)).await.unwrap();
            } else {
                joined.iter().for_each(|ws| ws.try_send(&number(n)).unwrap());
            }
        }
        settle().await;
        let open: Vec<_> = joined.iter().filter(|ws| !ws.is_closed()).collect();
        let waiting: u64 = open.iter().map(|ws| ws.outbound().pending_bytes).sum();
        assert!((1..=500_000).contains(&waiting), "{waiting} bytes for {} clients", open.len());
    }
}

#[tokio::test]
async fn the_parts_of_a_member_list_respect_the_bound_of_all_clients() {
    let sockets = Sockets::new();
    let mut bounded = shared_bound(Overflow::Reject);
    bounded.outbound_size = 60_000;
    let server = TestServer::new(Server::from(sockets.router()).limits(bounded));
    let (mut raws, mut joined) = (Vec::new(), Vec::new());
    for bytes in [50_000, 1, 1, 1, 1] {
        raws.push(Raw::join(&server).await);
        let ws = sockets.next().await;
        fill(&ws, bytes).await;
        joined.push(ws);
    }
    for ws in &joined[1..] {
        ws.join_as("lobby", &json!({ "about": "x".repeat(900) })).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waiting = server.handle().stats().outbound.pending_bytes;
    assert!(waiting <= 100_000, "{waiting}");
    assert_eq!(closed_flags(&joined), [false; 5]);
    // The server sends the list once the client has read.
    loop {
        let message = raws[1].read_json().await;
        if message["type"] == "room.members" {
            assert_eq!(message["members"].as_array().unwrap().len(), 4);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_closed_under_every_policy() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject] {
        let (ends, ended) = ends();
        let sockets = Sockets::new();
        let mut limits_with_timeout = narrow(overflow);
        limits_with_timeout.write_timeout = Duration::from_millis(100);
        let server = TestServer::new(ends.watch(sockets.router()).limits(limits_with_timeout));
        let _raw = Raw::join(&server).await;
        let ws = sockets.next().await;
        stall_exactly(&ws, 2).await;
        assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
        assert_sums(ws.outbound());
    }
}

#[tokio::test]
async fn counts_serialize_as_json() {
    let (ws, _sent) = aiows::testing::socket();
    ws.send_text("four").await.unwrap();
    let outbound: Value = serde_json::to_value(ws.outbound()).unwrap();
    assert_eq!(
        outbound,
        json!({
            "queued": 1, "sent": 0, "dropped": 0, "replaced": 0,
            "pending": 1, "pending_bytes": 4, "peak": 1, "written": 0,
        })
    );
}

/// Without `TCP_NOTSENT_LOWAT` the kernel buffers megabytes of unsent data, and accepts more only
/// when a third of them is sent. For seconds this client would seem to read no bytes.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_steadily_over_a_slow_link_stays_connected() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let router = Router::new()
        .route(Route::message("large", async |call: aiows::extract::Call| {
            call.websocket().send_text(&"x".repeat(8 << 20)).await
        }));
    let limits_with_timeout = limits(|limits| limits.write_timeout = Duration::from_secs(3));
    let server = TestServer::bind(Server::from(router).limits(limits_with_timeout)).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut stream = socket.connect(server.address()).await.unwrap();
    stream.write_all(crate::raw::REQUEST.as_bytes()).await.unwrap();
    let mut buffer = [0; 8192];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 101"));
    let request = crate::raw::masked(0x81, br#"{"type":"large"}"#);
    stream.write_all(&request).await.unwrap();
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
    }
    let stats = server.handle().stats();
    assert_eq!(stats.active, 1, "{stats:?}");
    assert_eq!(stats.outbound.pending, 1, "the server wrote faster than the client read");
}

/// A publisher writes while the session sleeps. No other publication follows, so the session has to
/// wait for the socket.
#[tokio::test]
async fn a_client_whose_socket_a_publisher_has_filled_receives_the_queue_once_it_reads() {
    let sockets = Sockets::new();
    let server = Server::from(sockets.router()).limits(narrow(Overflow::DropNewest));
    let server = TestServer::bind(server).await;
    let mut raw = Raw::dial_narrow(&server).await.boxed();
    raw.handshake().await;
    let ws = sockets.next().await;
    settle().await;
    let hub = server.handle().hub();
    let (mut accepted, mut refused) = (0, 0);
    // The last one finds the queue full, and the publisher cannot write any of it.
    for n in 0.. {
        let delivery = hub.all().send(&number(n)).await.unwrap();
        accepted += delivery.accepted as u64;
        refused += delivery.refused as u64;
        if refused > 0 {
            break;
        }
    }
    let Outbound { queued, dropped, pending, .. } = ws.outbound();
    assert_eq!((accepted, refused, pending), (queued - dropped, dropped, ROOM as u64));
    let numbers = read_numbers(&mut raw, queued - dropped).await;
    assert!(numbers.iter().copied().eq(0..numbers.len() as u32), "{numbers:?}");
    expect_alive(&ws, &mut raw).await;
}
