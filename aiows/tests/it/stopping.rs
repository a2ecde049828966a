//! A stop answers the accepted messages, accepts no new ones, and closes every client with 1001.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{
    DisconnectReason, Limits, Message, MessageId, Router, Server, State, WebSocket, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

use super::kit::{TestServer, over_both};
use crate::raw::{Raw, close_payload, ends, limits, masked};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Longer than any graceful stop in these tests.
const LONG: Duration = Duration::from_secs(20);

/// The number of started calls of a handler, and the time that each takes.
#[derive(Clone)]
struct Work {
    started_calls: Arc<AtomicUsize>,
    time: Duration,
}

impl Work {
    fn new(milliseconds: u64) -> Self {
        Self { started_calls: Arc::default(), time: Duration::from_millis(milliseconds) }
    }

    fn started_calls(&self) -> usize {
        self.started_calls.load(Ordering::SeqCst)
    }

    fn server(&self) -> Server {
        Router::new().routes(routes![work]).state(self.clone()).into()
    }
}

#[message("work")]
async fn work(id: MessageId, State(work): State<Work>) -> Value {
    work.started_calls.fetch_add(1, Ordering::SeqCst);
    sleep(work.time).await;
    json!({ "done": id })
}

fn request(id: usize) -> String {
    format!(r#"{{"type":"work","id":{id}}}"#)
}

/// Reads the next answer. Returns `false` at the close frame of the stop, which must be the last
/// frame.
async fn read_answer(raw: &mut Raw, id: usize) -> bool {
    let frame = raw.read_frame().await.expect("an answer or a close frame");
    if frame.first == CLOSE {
        assert_eq!(frame.payload, b"\x03\xe9Server shutdown");
        raw.write_quietly(&masked(CLOSE, b"\x03\xe9")).await;
        assert!(raw.read_frame().await.is_none());
        return false;
    }
    assert_eq!(frame.text(), format!(r#"{{"done":{id},"correlation_id":{id}}}"#));
    true
}

/// Keeps this many requests in flight until the server stops; returns the number of answers.
async fn keep_in_flight(mut raw: Raw, in_flight: usize, busy: mpsc::Sender<()>) -> usize {
    for id in 0..in_flight {
        raw.send_quietly(&request(id)).await;
    }
    let mut answers = 0;
    while read_answer(&mut raw, answers).await {
        raw.send_quietly(&request(answers + in_flight)).await;
        answers += 1;
        if answers == 3 {
            busy.send(()).await.unwrap();
        }
    }
    answers
}

struct Load {
    clients: usize,
    in_flight: usize,
}

/// Stops a server while its clients keep sending.
async fn expect_orderly(server: TestServer, work: &Work, load: Load, within: Duration) {
    let Load { clients, in_flight } = load;
    let started_calls = work.started_calls();
    let (busy, mut all_busy) = mpsc::channel(clients);
    let mut joined = Vec::new();
    for _ in 0..clients {
        joined.push(Raw::join(&server).await);
    }
    let run = |raw| tokio::spawn(keep_in_flight(raw, in_flight, busy.clone()));
    let answered: Vec<_> = joined.into_iter().map(run).collect();
    for _ in 0..clients {
        all_busy.recv().await.unwrap();
    }
    let stopped = tokio::spawn(server.shutdown(within));
    let mut answers = 0;
    for client in answered {
        answers += client.await.unwrap();
    }
    stopped.await.unwrap().unwrap();
    assert_eq!(answers, work.started_calls() - started_calls);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_faster_than_it_is_served_does_not_force_the_stop() {
    let work = Work::new(25);
    let server = TestServer::new(work.server());
    let mut raw = Raw::join(&server).await;
    let (busy, mut is_busy) = mpsc::channel(1);
    let client = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(20));
        let (mut sent, mut answers) = (0, 0);
        loop {
            tokio::select! {
                is_answer = read_answer(&mut raw, answers) => match is_answer {
                    true => answers += 1,
                    false => return answers,
                },
                _ = ticks.tick() => {
                    raw.send_quietly(&request(sent)).await;
                    sent += 1;
                }
            }
            if answers == 20 {
                let _ = busy.try_send(());
            }
        }
    });
    is_busy.recv().await.unwrap();
    let started = Instant::now();
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(client.await.unwrap(), work.started_calls());
}

#[tokio::test(start_paused = true)]
async fn two_hundred_clients_with_four_slow_requests_in_flight_receive_every_answer_and_1001() {
    let work = Work::new(50);
    let load = Load { clients: 200, in_flight: 4 };
    expect_orderly(TestServer::new(work.server()), &work, load, LONG).await;
}

#[tokio::test]
async fn over_tcp_clients_with_four_slow_requests_in_flight_receive_every_answer_and_1001() {
    let work = Work::new(50);
    let load = Load { clients: 200, in_flight: 4 };
    expect_orderly(TestServer::bind(work.server()).await, &work, load, LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_with_eight_requests_in_flight_receive_every_answer_and_1001() {
    let work = Work::new(1);
    let load = Load { clients: 1000, in_flight: 8 };
    // This includes the pauses between batches, during which a thousand clients keep sending.
    let within = Duration::from_millis(200);
    expect_orderly(TestServer::new(work.server()), &work, load, within).await;
}

/// Starts a stop, and returns once it is in progress.
async fn stopping(server: TestServer, within: Duration) -> JoinHandle<Result<(), aiows::Error>> {
    let handle = server.handle().clone();
    let stopped = tokio::spawn(server.shutdown(within));
    while !handle.is_shutting_down() {
        tokio::task::yield_now().await;
    }
    stopped
}

/// Reports that it has started and that its connection is about to end, then waits for a permit.
#[message("hold")]
async fn hold(ws: WebSocket, State(held): State<Held>) -> aiows::Result<Value> {
    held.events.send("pending").await?;
    ws.closed().await;
    held.events.send("closed").await?;
    held.permits.acquire().await?.forget();
    Ok(json!({ "held": true }))
}

#[derive(Clone)]
struct Held {
    events: mpsc::Sender<&'static str>,
    permits: Arc<Semaphore>,
}

impl Held {
    fn new() -> (Self, tokio::sync::Mutex<mpsc::Receiver<&'static str>>) {
        let (events, receiver) = mpsc::channel(16);
        (Self { events, permits: Arc::new(Semaphore::new(0)) }, receiver.into())
    }

    fn server(&self) -> Server {
        Router::new().routes(routes![hold]).state(self.clone()).into()
    }
}

#[tokio::test]
async fn messages_that_arrive_during_a_stop_are_dropped_and_a_close_frame_is_processed() {
    let (held, events) = Held::new();
    let hold = || held.server();
    over_both(hold, async |server| {
        let mut raw = Raw::join(&server).await;
        let mut events = events.lock().await;
        raw.send_text(r#"{"type":"hold"}"#).await;
        assert_eq!(events.recv().await, Some("pending"));
        let stopped = stopping(server, LONG).await;
        assert_eq!(events.recv().await, Some("closed"));
        // The client sends far more messages than the server reads ahead.
        for _ in 0..20 {
            raw.write(&masked(TEXT, br#"{"type":"hold"}"#).repeat(1000)).await;
        }
        raw.send(0x89, b"ping").await;
        assert_eq!(raw.read_frame().await.unwrap().first, 0x8a);
        raw.write(&masked(CLOSE, &close_payload(1000, "bye"))).await;
        held.permits.add_permits(1);
        raw.expect_text(r#"{"held":true}"#).await;
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        // The server has already received the client's close frame.
        raw.expect_end().await;
        stopped.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stop_drops_an_unfinished_message() {
    let (held, events) = Held::new();
    let hold = || held.server();
    over_both(hold, async |server| {
        let mut raw = Raw::join(&server).await;
        let mut idle = Raw::join(&server).await;
        let mut events = events.lock().await;
        idle.send(0x01, b"{").await;
        raw.send_text(r#"{"type":"hold"}"#).await;
        assert_eq!(events.recv().await, Some("pending"));
        raw.send(0x01, br#"{"type""#).await;
        let stopped = stopping(server, LONG).await;
        assert_eq!(idle.read_close(1001).await, "Server shutdown");
        idle.send_close(1001, "").await;
        assert_eq!(events.recv().await, Some("closed"));
        raw.send(0x80, br#":"hold"}"#).await;
        held.permits.add_permits(1);
        raw.expect_text(r#"{"held":true}"#).await;
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        raw.send_close(1001, "").await;
        raw.expect_end().await;
        stopped.await.unwrap().unwrap();
    })
    .await;
}

#[derive(Message, Deserialize, Serialize)]
struct Question {}

#[derive(Message, Deserialize, Serialize)]
struct Answer {
    n: u32,
}

#[message("go")]
async fn go(ws: WebSocket) -> aiows::Result<Value> {
    let Answer { n } = ws.request(&Question {}, LONG).await?;
    Ok(json!({ "answer": n }))
}

fn question_server() -> Server {
    Router::new().routes(routes![go]).into()
}

#[tokio::test]
async fn the_answer_to_a_handler_s_question_is_read_during_a_stop() {
    over_both(question_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"go"}"#).await;
        raw.expect_text(r#"{"type":"question","id":"s1"}"#).await;
        // These messages wait for the handler. Those that do not fit into the queue are saved until
        // the answer has arrived.
        raw.write(&masked(TEXT, br#"{"type":"none"}"#).repeat(30)).await;
        let stopped = stopping(server, LONG).await;
        raw.write(&masked(TEXT, br#"{"type":"none"}"#).repeat(3000)).await;
        raw.send_text(r#"{"type":"answer","correlation_id":"s1","n":7}"#).await;
        raw.expect_text(r#"{"answer":7}"#).await;
        let mut frame = raw.read_frame().await.unwrap();
        while frame.first == TEXT {
            assert!(frame.text().contains("unknown_type"), "{frame:?}");
            frame = raw.read_frame().await.unwrap();
        }
        assert_eq!((frame.first, &frame.payload[..2]), (CLOSE, b"\x03\xe9".as_slice()));
        raw.send_close(1001, "").await;
        stopped.await.unwrap().unwrap();
    })
    .await;
}

fn hang() -> Route {
    Route::message("hang", async |_: Call| std::future::pending::<()>().await)
}

fn large() -> Route {
    Route::message("large", async |_: Call| json!({ "x": "x".repeat(50_000) }))
}

#[tokio::test(start_paused = true)]
async fn at_the_shutdown_timeout_a_client_whose_handler_hangs_receives_the_queued_answers_and_1001()
{
    let (ends, ended) = ends();
    let server = ends.watch(Router::new().route(hang()).route(large()));
    let server = TestServer::new(server.limits(limits(|limits: &mut Limits| {
        // The queue holds all answers. The stream accepts only the first of them.
        limits.outbound_size = 1_000_000;
    })));
    let mut raw = Raw::join(&server).await;
    for _ in 0..8 {
        raw.send_text(r#"{"type":"large"}"#).await;
    }
    raw.send_text(r#"{"type":"hang"}"#).await;
    let stopped = stopping(server, Duration::from_millis(500)).await;
    sleep(Duration::from_millis(600)).await;
    for _ in 0..8 {
        assert_eq!(raw.read_frame().await.expect("an answer").payload.len(), 50_008);
    }
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    assert!(stopped.await.unwrap().unwrap_err().is_forced());
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

#[tokio::test]
async fn at_the_shutdown_timeout_every_client_whose_handler_hangs_receives_1001() {
    let hanging = || Server::from(Router::new().route(hang()));
    over_both(hanging, async |server| {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"hang"}"#).await;
            clients.push(raw);
        }
        let stopped = stopping(server, Duration::from_millis(100)).await;
        for mut raw in clients {
            assert_eq!(raw.read_close(1001).await, "Server shutdown");
            raw.expect_end().await;
        }
        assert!(stopped.await.unwrap().unwrap_err().is_forced());
    })
    .await;
}

fn burst() -> Vec<u8> {
    (0..1000).flat_map(|id| masked(TEXT, request(id).as_bytes())).collect()
}

async fn answers_of_a_stopped_burst(server: TestServer) -> usize {
    let mut raw = Raw::join(&server).await;
    raw.write(&burst()).await;
    let mut answers = 0;
    assert!(read_answer(&mut raw, answers).await);
    answers += 1;
    let stopped = stopping(server, LONG).await;
    while read_answer(&mut raw, answers).await {
        answers += 1;
    }
    stopped.await.unwrap().unwrap();
    answers
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_the_accepted_messages_of_a_burst_and_closes_within_a_second() {
    let work = Work::new(20);
    let server = TestServer::new(work.server());
    let started = Instant::now();
    let answers = answers_of_a_stopped_burst(server).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // The first was answered before the stop. One more is pending, and 32 are queued.
    assert!((33..=34).contains(&answers), "{answers}");
    assert_eq!(answers, work.started_calls());
}

#[tokio::test]
async fn over_tcp_a_stop_answers_the_accepted_messages_of_a_burst() {
    let work = Work::new(20);
    let server = TestServer::bind(work.server()).await;
    let answers = answers_of_a_stopped_burst(server).await;
    // On a slow machine the stop may start a little later.
    assert!((33..200).contains(&answers), "{answers}");
    assert_eq!(answers, work.started_calls());
}

/// Handlers that close the connection or wait until the client has left, and then hang.
fn outlive(started: mpsc::Sender<()>) -> [Route; 2] {
    let quit = Route::message("quit", |call: Call| async move {
        call.websocket().close(4000, "bye");
        std::future::pending::<()>().await;
    });
    let stay = Route::message("stay", move |call: Call| {
        let started = started.clone();
        async move {
            call.websocket().send_text("here").await?;
            call.websocket().closed().await;
            started.send(()).await?;
            std::future::pending::<aiows::Result>().await
        }
    });
    [quit, stay]
}

#[tokio::test]
async fn at_the_shutdown_timeout_a_handler_that_outlives_its_closed_connection_is_dropped() {
    let (ends, ended) = ends();
    let server =
        || ends.watch(outlive(mpsc::channel(1).0).into_iter().fold(Router::new(), Router::route));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"quit"}"#).await;
        assert_eq!(raw.read_close(4000).await, "bye");
        raw.send_close(4000, "").await;
        raw.expect_end().await;
        let stopped = server.shutdown(Duration::from_millis(100)).await;
        assert!(stopped.unwrap_err().is_forced());
        // The connection has ended by now.
        let reason = DisconnectReason::Closed { code: 4000.into(), reason: "bye".into() };
        assert_eq!(ended.next_within(Duration::ZERO).await, reason);
    })
    .await;
}

#[tokio::test]
async fn at_the_shutdown_timeout_a_handler_whose_client_sent_a_reset_is_dropped() {
    let (ends, ended) = ends();
    let (started, mut starts) = mpsc::channel(1);
    let router = outlive(started).into_iter().fold(Router::new(), Router::route);
    let server = TestServer::bind(ends.watch(router)).await;
    let mut raw = Raw::open(&server).await;
    // The second message is accepted, too, but not handled any more.
    raw.send_text(r#"{"type":"stay"}"#).await;
    raw.send_text(r#"{"type":"stay"}"#).await;
    raw.expect_text("here").await;
    raw.reset();
    starts.recv().await.unwrap();
    let stopped = server.shutdown(Duration::from_millis(100)).await;
    assert!(stopped.unwrap_err().is_forced());
    let reason = DisconnectReason::Peer { code: None, reason: String::new() };
    assert_eq!(ended.next_within(Duration::ZERO).await, reason);
    assert!(starts.try_recv().is_err());
}

/// Closes every connection of its server.
fn leave() -> Route {
    Route::message("leave", async |call: Call| call.websocket().close(4000, "bye"))
}

#[tokio::test(start_paused = true)]
async fn a_cut_of_a_connection_that_has_sent_its_close_frame_takes_no_longer() {
    let server = TestServer::new(Router::new().route(leave()));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"leave"}"#).await;
    assert_eq!(raw.read_close(4000).await, "bye");
    let started = Instant::now();
    let stopped = server.shutdown(Duration::from_millis(100)).await;
    assert!(stopped.unwrap_err().is_forced());
    let elapsed = started.elapsed();
    assert!((100..200).contains(&elapsed.as_millis()), "{elapsed:?}");
    raw.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_leaves_time_for_a_close_frame_that_is_not_written_yet() {
    let server = Server::from(Router::new().route(large()).route(leave()));
    let server = TestServer::new(server.limits(limits(|limits| {
        // The queue holds all answers. The stream accepts only the first of them.
        limits.outbound_size = 1_000_000;
    })));
    let mut raw = Raw::join(&server).await;
    for _ in 0..8 {
        raw.send_text(r#"{"type":"large"}"#).await;
    }
    raw.send_text(r#"{"type":"leave"}"#).await;
    sleep(Duration::from_millis(50)).await;
    let stopped = stopping(server, Duration::from_millis(100)).await;
    sleep(Duration::from_millis(200)).await;
    for _ in 0..8 {
        assert_eq!(raw.read_frame().await.expect("an answer").payload.len(), 50_008);
    }
    assert_eq!(raw.read_close(4000).await, "bye");
    assert!(stopped.await.unwrap().unwrap_err().is_forced());
}
