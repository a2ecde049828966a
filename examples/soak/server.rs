//! The server under test. Its handlers answer, publish, wait, panic or never return.

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aiows::error::SendError;
use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::Outcome;
use aiows::{
    Context, DisconnectReason, HandlerError, Hub, Limits, Message, Query, Router, Server,
    ServerHandle, WebSocket, connect, disconnect, message, routes,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::Result;
use crate::events::{Counters, Event, ServerHalf};

/// The time for a graceful shutdown. Every client stalls for a shorter time.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// The server may close a client as slow if it reads no data for longer than this.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// The time for a running handler after its client has left, and for a client that does not read
/// its close frame.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The exit status after a forced shutdown.
pub(crate) const FORCED: u8 = 2;
/// Larger bursts are published from outside of the runtime's workers.
const LARGE_BURST: u64 = 1000;
/// The text of the panics that are part of the test.
const DELIBERATE: &str = "a deliberate panic";

/// The running handlers of all connections.
static HANDLERS: AtomicUsize = AtomicUsize::new(0);

/// The counts of one connection.
#[derive(Debug, Default)]
struct Counts {
    key: String,
    finished: AtomicU64,
    cancelled: AtomicU64,
}

#[derive(Deserialize)]
struct Client {
    key: String,
}

#[derive(Message, Serialize)]
struct Welcome {}

#[connect]
async fn arrive(ws: WebSocket, Query(Client { key }): Query<Client>) -> aiows::Result<Welcome> {
    // The successive connections of one client belong to one user.
    ws.set_user(key.split('-').next().unwrap_or_default())?;
    ws.context().insert(Arc::new(Counts { key, ..Counts::default() }));
    Ok(Welcome {})
}

#[disconnect]
async fn leave(
    ws: WebSocket,
    reason: DisconnectReason,
    Context(counts): Context<Arc<Counts>>,
) -> aiows::Result {
    let outbound = ws.outbound();
    report(&Event::Ended(ServerHalf {
        key: counts.key.clone(),
        finished: counts.finished.load(Ordering::Relaxed),
        cancelled: counts.cancelled.load(Ordering::Relaxed),
        queued: outbound.queued,
        dropped: outbound.dropped,
        reason: reason.to_string(),
    }))?;
    Ok(())
}

#[derive(Message, Deserialize)]
struct Join {
    room: String,
}

#[derive(Message, Serialize)]
struct Joined {}

#[message("join")]
async fn join(ws: WebSocket, Join { room }: Join) -> aiows::Result<Joined> {
    ws.join(&room).await?;
    Ok(Joined {})
}

#[derive(Message, Deserialize)]
struct Add {
    a: u64,
    b: u64,
}

#[derive(Message, Serialize)]
struct Sum {
    value: u64,
}

#[message("add")]
async fn add(Add { a, b }: Add) -> Sum {
    Sum { value: a + b }
}

#[derive(Message, Deserialize)]
struct Wait {
    millis: u64,
}

#[derive(Message, Serialize)]
struct Waited {
    value: u64,
}

#[message("wait")]
async fn wait(Wait { millis }: Wait) -> Waited {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Waited { value: millis }
}

#[message("panic")]
async fn panic() {
    std::panic::panic_any(DELIBERATE)
}

#[message("hang")]
async fn hang() {
    std::future::pending().await
}

/// Publishes messages with consecutive numbers.
#[derive(Message, Deserialize)]
struct Publish {
    room: String,
    first: u64,
    count: u64,
}

#[derive(Message, Serialize)]
struct News {
    /// The room and the publishing connection. The numbers of one source are consecutive.
    source: String,
    seq: u64,
}

#[derive(Message, Serialize)]
struct Published {
    value: u64,
}

#[message("publish")]
async fn publish(
    hub: Hub,
    Context(counts): Context<Arc<Counts>>,
    request: Publish,
) -> aiows::Result<Published> {
    let count = request.count;
    let publication = publish_all(hub, counts, request);
    if count > LARGE_BURST {
        // When a publisher on a separate thread yields, no session gets a turn.
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(publication)).await??;
    } else {
        publication.await?;
    }
    Ok(Published { value: count })
}

async fn publish_all(hub: Hub, counts: Arc<Counts>, request: Publish) -> Result<(), SendError> {
    let Publish { room, first, count } = request;
    let mut news = News { source: format!("{room}:{}", counts.key), seq: first };
    while news.seq < first + count {
        hub.room(&room).send(&news).await?;
        news.seq += 1;
    }
    Ok(())
}

#[derive(Message, Deserialize)]
struct Bulk {
    size: usize,
}

#[derive(Message, Serialize)]
struct Data {
    value: usize,
    data: String,
}

#[message("bulk")]
async fn bulk(Bulk { size }: Bulk) -> Data {
    Data { value: size, data: "x".repeat(size) }
}

/// Counts how each handler call ends.
struct CountHandlers;

impl Middleware for CountHandlers {
    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
        let Context(counts) = call.extract::<Context<Arc<Counts>>>().await?;
        let mut running = Running::new(counts);
        let outcome = next.run(call).await;
        running.is_finished = true;
        outcome
    }
}

struct Running {
    counts: Arc<Counts>,
    is_finished: bool,
}

impl Running {
    fn new(counts: Arc<Counts>) -> Self {
        HANDLERS.fetch_add(1, Ordering::Relaxed);
        Self { counts, is_finished: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Counts { finished, cancelled, .. } = &*self.counts;
        let count = if self.is_finished { finished } else { cancelled };
        count.fetch_add(1, Ordering::Relaxed);
        HANDLERS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn server() -> Server {
    let mut limits = Limits::default();
    limits.ping_interval = Duration::from_secs(5);
    limits.ping_timeout = Duration::from_secs(10);
    limits.close_timeout = CLOSE_TIMEOUT;
    limits.write_timeout = WRITE_TIMEOUT;
    limits.connections = 1_000_000;
    limits.room_members = 1_000_000;
    let router = Router::new()
        .routes(routes![arrive, join, add, wait, panic, hang, publish, bulk, leave])
        .middleware(CountHandlers);
    Server::new().include_router(router).limits(limits).shutdown_timeout(SHUTDOWN_TIMEOUT)
}

#[tokio::main]
pub(crate) async fn serve(port: u16) -> Result<ExitCode> {
    silence_deliberate_panics();
    let server = server();
    let handle = server.handle();
    let commands = handle.clone();
    std::thread::spawn(move || obey(&commands));
    tokio::spawn(async move {
        if !handle.ready().await.is_empty() {
            // If the parent process has ended, the thread above ends this process.
            let _ = report(&Event::Listening);
        }
    });
    match server.run(format!("127.0.0.1:{port}")).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is_forced() => Ok(ExitCode::from(FORCED)),
        Err(error) => Err(error.to_string().into()),
    }
}

/// Answers each line of standard input with the counters. Ends the process when the parent process
/// ends.
#[allow(clippy::exit, reason = "the parent process has ended")]
fn obey(handle: &ServerHandle) {
    for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (stats, hub) = (handle.stats(), handle.hub());
        let counters = Counters {
            active: stats.active,
            rooms: hub.room_names().len(),
            users: hub.user_names().len(),
            handlers: HANDLERS.load(Ordering::Relaxed),
            pending: stats.outbound.pending,
        };
        if report(&Event::Counters(counters)).is_err() {
            break;
        }
    }
    std::process::exit(0);
}

fn report(event: &Event) -> serde_json::Result<()> {
    println!("{}", serde_json::to_string(event)?);
    Ok(())
}

fn silence_deliberate_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&DELIBERATE) {
            usual(panic);
        }
    }));
}
