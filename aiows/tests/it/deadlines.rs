//! Handlers and clients cannot switch off deadlines, even if they use up tokio's cooperative budget
//! for a turn of the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aiows::{DisconnectReason, Limits, Message, Router, Server, State, WebSocket, message, routes};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, advance};

use super::kit::{TestServer, over_both};
use crate::raw::{Ended, REQUEST, Raw, ends, limits, masked};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The number of messages in a burst. Their handlers take more than 128 locks, which is the most
/// that tokio allows in one poll of a task.
const BURST: usize = 60;

const SECOND: Duration = Duration::from_secs(1);

type Lock = Arc<Mutex<()>>;

async fn take_locks(lock: &Lock) {
    for _ in 0..3 {
        drop(lock.lock().await);
    }
}

/// Uses up the session's budget for this turn.
async fn use_up_budget(lock: &Lock) {
    while has_budget_remaining() {
        drop(lock.lock().await);
    }
}

#[message("work")]
async fn work(State(lock): State<Lock>) -> Value {
    take_locks(&lock).await;
    json!({ "done": true })
}

#[message("large")]
async fn large(State(lock): State<Lock>) -> Value {
    use_up_budget(&lock).await;
    json!({ "done": "x".repeat(8000) })
}

#[message("leave")]
async fn leave(ws: WebSocket, State(lock): State<Lock>) {
    ws.close(4000, "enough");
    use_up_budget(&lock).await;
}

fn burst(first: &str, last: &str) -> Vec<u8> {
    let message = |name| masked(TEXT, json!({ "type": name }).to_string().as_bytes());
    [message(first).repeat(BURST - 1), message(last)].concat()
}

fn server(change: impl FnOnce(&mut Limits)) -> (Server, Ended) {
    let (ends, ended) = ends();
    let router = Router::new().routes(routes![work, large, leave]).state(Lock::default());
    (ends.watch(router).limits(limits(change)), ended)
}

fn ping_often(limits: &mut Limits) {
    limits.ping_interval = 2 * SECOND;
    limits.ping_timeout = SECOND;
}

async fn expect_answers(raw: &mut Raw, count: usize) {
    for _ in 0..count {
        raw.expect_text(r#"{"done":true}"#).await;
    }
}

async fn expect_ping(raw: &mut Raw) {
    assert_eq!(raw.read_frame().await.expect("a ping").first, PING);
}

#[tokio::test(start_paused = true)]
async fn a_burst_right_behind_the_handshake_does_not_stop_the_pings() {
    let (server, ended) = server(ping_often);
    let server = TestServer::new(server);
    let mut raw = Raw::reach(&server).await;
    let started = Instant::now();
    raw.write(&[REQUEST.as_bytes(), &burst("work", "work")].concat()).await;
    raw.read_head().await;
    expect_answers(&mut raw, BURST).await;
    expect_ping(&mut raw).await;
    raw.expect_end().await;
    let elapsed = started.elapsed();
    assert!((3 * SECOND..4 * SECOND).contains(&elapsed), "{elapsed:?}");
    assert_eq!(ended.next().await, DisconnectReason::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_burst_does_not_stop_the_write_timeout() {
    let (server, ended) = server(|limits| limits.write_timeout = SECOND);
    let server = TestServer::new(server);
    let started = Instant::now();
    let mut raw = Raw::reach(&server).await;
    raw.write(&[REQUEST.as_bytes(), &burst("large", "large")].concat()).await;
    raw.read_head().await;
    assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
    assert!(started.elapsed() < 2 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_burst_does_not_stop_the_close_timeout() {
    let (server, _ended) = server(|limits| limits.close_timeout = SECOND);
    let server = TestServer::new(server);
    let started = Instant::now();
    let mut raw = Raw::reach(&server).await;
    raw.write(&[REQUEST.as_bytes(), &burst("work", "leave")].concat()).await;
    raw.read_head().await;
    expect_answers(&mut raw, BURST - 1).await;
    assert_eq!(raw.read_close(4000).await, "enough");
    raw.expect_end().await;
    server.shutdown(60 * SECOND).await.unwrap();
    let elapsed = started.elapsed();
    assert!((SECOND..2 * SECOND).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_before_an_unfinished_message_does_not_stop_the_message_timeout() {
    let (server, _ended) = server(|limits| limits.message_timeout = SECOND);
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    raw.write(&[burst("work", "work"), masked(0x01, b"{")].concat()).await;
    expect_answers(&mut raw, BURST).await;
    assert_eq!(raw.read_close(1008).await, "Message not finished in time");
}

/// Waits only for its budget until the test lets it return.
#[message("spin")]
async fn spin(State(lock): State<Lock>, State(enough): State<Arc<AtomicBool>>) -> Value {
    while !enough.load(Ordering::Acquire) {
        take_locks(&lock).await;
    }
    json!({ "done": true })
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_connected_while_a_handler_is_always_busy() {
    // The pings follow each other quickly, but the client has plenty of time to answer each one.
    let change = |limits: &mut Limits| limits.ping_interval = Duration::from_millis(50);
    let enough = Arc::new(AtomicBool::new(false));
    let busy = || {
        enough.store(false, Ordering::Release);
        let router = Router::new().routes(routes![spin]);
        let router = router.state(Lock::default()).state(Arc::clone(&enough));
        Server::from(router).limits(limits(change))
    };
    over_both(busy, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"spin"}"#).await;
        for _ in 0..4 {
            // The server sends the next ping only after the answer to this one.
            expect_ping(&mut raw).await;
            raw.send(PONG, b"").await;
        }
        enough.store(true, Ordering::Release);
        loop {
            match raw.read_frame().await.expect("an answer") {
                frame if frame.first == PING => {}
                frame => break assert_eq!(frame.text(), r#"{"done":true}"#),
            }
        }
    })
    .await;
}

/// Sends far more than any socket holds, then stays busy until the test lets it return.
#[message("flood")]
async fn flood(ws: WebSocket, lock: State<Lock>, enough: State<Arc<AtomicBool>>) -> Value {
    for _ in 0..FLOOD {
        ws.try_send(&Text { text: "x".repeat(100_000) }).unwrap();
    }
    spin(lock, enough).await
}

const FLOOD: usize = 160;

#[derive(Message, Serialize)]
struct Text {
    text: String,
}

#[tokio::test]
async fn a_client_that_reads_receives_everything_while_a_handler_is_always_busy() {
    let enough = Arc::new(AtomicBool::new(false));
    let flooding = || {
        enough.store(false, Ordering::Release);
        let router = Router::new().routes(routes![flood]);
        let router = router.state(Lock::default()).state(Arc::clone(&enough));
        Server::from(router).limits(limits(|limits| limits.outbound_size = 32_000_000))
    };
    over_both(flooding, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"flood"}"#).await;
        for _ in 0..FLOOD {
            assert!(raw.read_frame().await.expect("a text").payload.len() > 100_000);
        }
        enough.store(true, Ordering::Release);
        raw.expect_text(r#"{"done":true}"#).await;
    })
    .await;
}

#[message("discard")]
async fn discard() {}

#[tokio::test(start_paused = true)]
async fn the_server_pings_a_client_that_never_stops_sending() {
    let server = Server::from(Router::new().routes(routes![discard]));
    let interval = Duration::from_millis(100);
    let server = TestServer::new(server.limits(limits(|limits| limits.ping_interval = interval)));
    let mut raw = Raw::join(&server).await;
    let clock = tokio::spawn(async {
        loop {
            advance(Duration::from_millis(20)).await;
        }
    });
    let started = Instant::now();
    raw.write_while_reading(&masked(TEXT, br#"{"type":"discard"}"#).repeat(100_000)).await;
    let intervals = started.elapsed().as_millis() / interval.as_millis();
    clock.abort();
    raw.finish().await;
    let mut pings = 0;
    while let Some(frame) = raw.read_frame().await {
        assert_eq!(frame.first, PING);
        pings += 1;
    }
    assert!(intervals > 3 && pings >= intervals, "{pings} pings in {intervals} intervals");
}
