//! Clients, handlers, the hub, timeouts and the shutdown of the server end connections in random
//! order. Each connection ends exactly once, in time, and releases all its resources.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::error::SendError;
use aiows::extract::Call;
use aiows::routing::Route;
use aiows::testing::TestServer;
use aiows::{
    ConnectionId, DisconnectReason, HandlerError, Hub, Limits, Message, Path, Router, Server,
    ServerHandle, State, WebSocket, connect, disconnect, routes,
};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::random::Random;
use crate::raw::{Wire, limits};
use crate::script::{Act, Client, Reading, Script, Seen, Step, kind, second_handle, upgrade};

const CLIENTS: usize = 6;

/// The time within which all connections end after their clients have left. It is the sum of the
/// timeouts.
const BOUND: Duration = Duration::from_secs(4);

/// The time that a stop may take beyond its timeout, for the last frames and the disconnect
/// handlers.
const CUT: Duration = Duration::from_millis(300 + 300 + 20);

#[derive(Message, Serialize)]
struct Late {}

#[derive(Clone)]
struct Watch(Arc<Watched>);

struct Watched {
    opened: mpsc::Sender<WebSocket>,
    logs: Mutex<HashMap<ConnectionId, Log>>,
    /// The number of handlers and spawned futures that are alive.
    alive: AtomicUsize,
}

#[derive(Debug, Default)]
struct Log {
    /// The messages with handlers that returned before the connection was closed.
    returned: Vec<u64>,
    reasons: Vec<DisconnectReason>,
    /// The messages with handlers that started after the connection was closed.
    late: Vec<u64>,
}

impl Watch {
    fn note(&self, ws: &WebSocket, note: impl FnOnce(&mut Log)) {
        note(self.0.logs.lock().unwrap().entry(ws.id()).or_default());
    }

    fn begin(&self) -> Alive {
        self.0.alive.fetch_add(1, Ordering::Relaxed);
        Alive(self.clone())
    }
}

struct Alive(Watch);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

#[connect]
async fn enter(
    ws: WebSocket,
    Path(kind): Path<String>,
    State(watch): State<Watch>,
) -> Result<(), HandlerError> {
    let alive = watch.begin();
    ws.spawn(async move {
        let _alive = alive;
        std::future::pending::<()>().await;
    });
    watch.0.opened.send(ws.clone()).await.unwrap();
    ws.join("all").await?;
    if kind == "slow" || kind == "refuse" {
        sleep(Duration::from_millis(100)).await;
    }
    match kind == "refuse" {
        true => Err(HandlerError::new("no_entry", "not today")),
        false => Ok(()),
    }
}

#[disconnect(always)]
async fn leave(
    ws: WebSocket,
    Path(kind): Path<String>,
    reason: DisconnectReason,
    State(watch): State<Watch>,
) {
    let _alive = watch.begin();
    watch.note(&ws, |log| log.reasons.push(reason));
    if kind == "lingering" {
        std::future::pending::<()>().await;
    }
}

async fn run(act: Act, ws: &WebSocket) -> Result<(), HandlerError> {
    match act {
        Act::Echo | Act::Panic | Act::Unknown => {}
        Act::Sleep => sleep(Duration::from_millis(40)).await,
        Act::Hang => std::future::pending().await,
        Act::Leave => ws.close(4000, "left"),
        Act::Fail => return Err(HandlerError::new("no", "failed").close(4100)),
        Act::Flood => {
            let text = "x".repeat(10_000);
            for _ in 0..100 {
                ws.send_text(&text).await?;
            }
        }
    }
    Ok(())
}

fn handler(act: Act, watch: &Watch) -> Route {
    let watch = watch.clone();
    Route::message(kind(act), move |call: Call| {
        let watch = watch.clone();
        async move {
            let _alive = watch.begin();
            let ws = call.websocket().clone();
            let message: Value = serde_json::from_str(call.text().unwrap()).unwrap();
            let n = message["n"].as_u64().unwrap();
            if ws.is_closed() {
                watch.note(&ws, |log| log.late.push(n));
            }
            let result = run(act, &ws).await;
            if !ws.is_closed() {
                // The answer is queued before any other task runs.
                watch.note(&ws, |log| log.returned.push(n));
            }
            if act == Act::Panic {
                std::panic::resume_unwind(Box::new("no luck"));
            }
            result.map(|()| json!({ "done": n }))
        }
    })
}

fn server(watch: &Watch, limits: Limits) -> Server {
    let acts = [Act::Echo, Act::Sleep, Act::Hang, Act::Leave, Act::Fail, Act::Panic, Act::Flood];
    let router = Router::new().routes(routes![enter, leave]).state(watch.clone());
    let router = acts.into_iter().fold(router, |router, act| router.route(handler(act, watch)));
    Server::new().route("/{kind}", router).limits(limits)
}

fn short_limits(over_tcp: bool) -> Limits {
    limits(|limits| {
        limits.inbound_messages = 4;
        limits.outbound_messages = 8;
        limits.connections = CLIENTS;
        limits.write_timeout = Duration::from_millis(250);
        limits.close_timeout = Duration::from_millis(400);
        limits.disconnect_timeout = Duration::from_millis(300);
        limits.message_timeout = Duration::from_millis(350);
        // In real time, a slow machine must not time out clients that read and answer.
        let ping = Duration::from_millis(if over_tcp { 30_000 } else { 200 });
        (limits.ping_interval, limits.ping_timeout) = (ping, ping);
    })
}

/// Prints the seed and the scripts of a failed round, so that you can repeat it.
struct Round<'a>(u64, &'a [Script]);

impl Drop for Round<'_> {
    #[expect(clippy::print_stderr, reason = "the test harness shows it on failure only")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("AIOWS_TEST_SEED={}\n{:?}", self.0, self.1);
        }
    }
}

fn first_seed() -> u64 {
    let seed = std::env::var("AIOWS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8))
}

/// A server, and the log of its handlers.
struct Stage {
    /// `None` once the server is stopped.
    server: Option<TestServer>,
    handle: ServerHandle,
    hub: Hub,
    watch: Watch,
    opened: mpsc::Receiver<WebSocket>,
    over_tcp: bool,
    /// The time allowed for each step; longer in real time.
    step_timeout: Duration,
}

impl Stage {
    async fn new(over_tcp: bool) -> Self {
        let (sender, opened) = mpsc::channel(CLIENTS);
        let (logs, alive) = (Mutex::default(), AtomicUsize::new(0));
        let watch = Watch(Arc::new(Watched { opened: sender, logs, alive }));
        let server = server(&watch, short_limits(over_tcp));
        let server = match over_tcp {
            true => TestServer::bind(server).await,
            false => TestServer::new(server),
        };
        let step_timeout = if over_tcp { BOUND * 10 } else { BOUND };
        let handle = server.handle().clone();
        let (hub, server) = (handle.hub(), Some(server));
        Self { server, handle, hub, watch, opened, over_tcp, step_timeout }
    }

    /// Connects a client; returns `None` if the server is at its connection limit.
    async fn open(&mut self, script: &Script) -> Option<Client> {
        let (server, mut socket) = (self.server.as_ref().expect("a running server"), None);
        let wire: Box<dyn Wire> = match self.over_tcp {
            true => {
                let stream = TcpStream::connect(server.address()).await.unwrap();
                socket = Some(second_handle(&stream));
                Box::new(stream)
            }
            false => Box::new(server.stream().await),
        };
        let wire = upgrade(wire, script).await?;
        let ws = self.opened.recv().await.unwrap();
        Some(Client::new(wire, socket, ws, script.clone()))
    }

    /// Waits until all connections have ended, and expects that they released all resources.
    async fn expect_all_released(&self) {
        let alive = &self.watch.0.alive;
        // The session may still write to a connection that has left the hub.
        let is_settled = || {
            let counts = self.handle.stats().outbound;
            counts.pending == 0 && counts.queued == counts.sent + counts.dropped
        };
        let wait = timeout(self.step_timeout, async {
            while self.hub.size() > 0 || alive.load(Ordering::Relaxed) > 0 || !is_settled() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(wait.await.is_ok(), "{} live, {alive:?}", self.hub.size());
        assert_eq!((self.hub.room_names(), self.hub.room_size("all")), (vec![], 0));
        let counts = self.handle.stats().outbound;
        assert_eq!((counts.pending, counts.pending_bytes), (0, 0), "{counts:?}");
        assert_eq!(counts.queued, counts.sent + counts.dropped, "{counts:?}");
    }

    /// Expects that every connection permit is free again.
    async fn expect_permits(&mut self, script: &Script) {
        let (step_timeout, mut kept) = (self.step_timeout, Vec::new());
        let reopen = async {
            while kept.len() < CLIENTS {
                match self.open(script).await {
                    Some(client) => kept.push(client),
                    None => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        assert!(timeout(step_timeout, reopen).await.is_ok(), "{} permits", kept.len());
    }

    /// Stops the server after a random delay, and checks how long the stop takes.
    async fn stop(&mut self, random: &mut Random, scripts: &[Script]) {
        let pause = Duration::from_millis([0, 5, 30, 150, 500, 1200][random.below(6)]);
        let within = Duration::from_millis([0, 50, 300, 8_000][random.below(4)]);
        sleep(pause).await;
        let started = Instant::now();
        let stopped = self.server.take().expect("a running server").shutdown(within).await;
        let elapsed = started.elapsed();
        if !self.over_tcp {
            assert!(elapsed <= within + CUT, "{elapsed:?} of {within:?}");
            let hangs = scripts.iter().any(|script| script.acts(Act::Hang));
            assert!(stopped.is_ok() || within < BOUND || hangs, "the stop was forced");
        }
    }
}

async fn round(seed: u64, over_tcp: bool) {
    let mut random = Random(seed);
    let scripts: Vec<_> = (0..CLIENTS).map(|_| Script::new(&mut random)).collect();
    let _round = Round(seed, &scripts);
    let mut stage = Stage::new(over_tcp).await;
    let mut playing = Vec::new();
    for script in &scripts {
        let client = stage.open(script).await.expect("a free permit");
        let ws = client.ws.clone();
        let closed = tokio::spawn(async move { ws.closed().await });
        playing.push((client, closed));
    }
    let hub = stage.hub.clone();
    let playing = playing.into_iter().map(|(client, closed)| {
        let played = tokio::spawn(client.play(hub.clone()));
        async { (played.await.unwrap(), closed) }
    });
    let playing = tokio::spawn(join_all(playing));
    let stops = random.below(2) == 0;
    if stops {
        stage.stop(&mut random, &scripts).await;
    }
    let played = playing.await.unwrap();
    stage.expect_all_released().await;
    for ((script, ws, seen), closed) in played {
        timeout(BOUND, closed).await.expect("closed() resolves").unwrap();
        let log = stage.watch.0.logs.lock().unwrap().remove(&ws.id()).unwrap_or_default();
        check(&script, &seen, &log, stops);
        assert!(matches!(ws.send_text("late").await, Err(SendError::Closed)));
        assert!(matches!(ws.try_send(&Late {}), Err(SendError::Closed)));
        let counts = ws.outbound();
        assert_eq!((counts.pending, counts.pending_bytes), (0, 0), "{counts:?}");
    }
    if !stops {
        stage.expect_permits(&scripts[0]).await;
    }
}

fn code_on_the_wire(reason: &DisconnectReason) -> Option<u16> {
    match reason {
        DisconnectReason::Peer { code, .. } => code.map(u16::from),
        DisconnectReason::Closed { code, .. } | DisconnectReason::Protocol { code } => {
            Some(u16::from(*code))
        }
        DisconnectReason::Shutdown => Some(1001),
        DisconnectReason::SlowConsumer | DisconnectReason::ConnectFailed => Some(1008),
        _ => None,
    }
}

fn check(script: &Script, seen: &Seen, log: &Log, stopped: bool) {
    let why = format!("{script:?}\n{seen:?}\n{log:?}");
    let [reason] = &log.reasons[..] else { panic!("not one disconnect: {why}") };
    assert!(script.allows(reason, seen, stopped), "no step allows this reason: {why}");
    if let (DisconnectReason::Closed { code, .. }, Some(first)) = (reason, seen.first_close) {
        assert_eq!(u16::from(*code), first, "the first close counts: {why}");
    }
    let closes = seen.closes();
    assert!(closes.len() <= 1, "{why}");
    if let [(at, code)] = closes[..] {
        assert_eq!((at + 1, seen.rest), (seen.frames.len(), 0), "not the last: {why}");
        assert_eq!(code, code_on_the_wire(reason), "{why}");
    }
    // Messages accepted before a reset are still handled.
    assert!(log.late.is_empty() || seen.reset || seen.gave_up, "handled too late: {why}");
    let mut answered = seen.answered();
    // Unknown types have no handler.
    answered.retain(|n| script.steps[*n as usize] != Step::Message(Act::Unknown));
    assert!(log.returned.starts_with(&answered), "not in order: {why}");
    let timed_out = matches!(reason, DisconnectReason::Timeout | DisconnectReason::SlowConsumer);
    if script.reading == Reading::Always && !seen.reset && !seen.gave_up && !timed_out {
        assert_eq!((&answered, seen.rest), (&log.returned, 0), "answers are missing: {why}");
        assert_eq!(closes.len(), usize::from(code_on_the_wire(reason).is_some()), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_connection_in_memory_ends_once_in_time_and_releases_its_resources() {
    let first = first_seed();
    for seed in 0..300 {
        round(first.wrapping_add(seed), false).await;
    }
}

#[tokio::test]
async fn every_tcp_connection_ends_once_and_releases_its_resources() {
    let first = first_seed();
    for batch in 0..4 {
        let seeds = (0..10).map(|seed| first.wrapping_add(batch * 10 + seed));
        join_all(seeds.map(|seed| round(seed, true))).await;
    }
}
