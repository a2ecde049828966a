//! Bursts to clients that read. A client is slow only if its socket accepts no more bytes.

use std::sync::Arc;
use std::thread::JoinHandle;

use aiows::error::SendError;
use aiows::messages::Overflow;
use aiows::testing::TestServer;
use aiows::{Hub, Message, Result, Router, Server, WebSocket, connect, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use tokio::task::yield_now;

use crate::raw::{Raw, limits, over_both};

const ROOM: &str = "room";
const MEMBERS: usize = 10;
const MESSAGES: usize = 3000;

#[connect]
async fn enter(ws: WebSocket) -> Result {
    ws.join(ROOM).await?;
    Ok(())
}

fn server(overflow: Overflow) -> Server {
    let limits = limits(|limits| limits.overflow = overflow);
    Server::from(Router::new().routes(routes![enter])).limits(limits)
}

/// Returns the burst: messages of one byte each, in an order that reveals a missing one.
fn letters() -> impl Iterator<Item = String> {
    (0..MESSAGES).map(|number| char::from(b'a' + (number % 23) as u8).to_string())
}

/// Clients that read on their own thread while the thread of the server publishes.
struct Readers(JoinHandle<()>);

impl Readers {
    fn start(mut raws: Vec<Raw>, read: impl AsyncFn(&mut Raw) + Send + 'static) -> Self {
        Self(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let all = raws.iter_mut().map(|raw| read(raw));
            runtime.unwrap().block_on(futures_util::future::join_all(all));
        }))
    }

    /// Waits for the clients without blocking the thread of the sessions.
    async fn finish(self) {
        tokio::task::spawn_blocking(|| self.0.join().unwrap()).await.unwrap();
    }
}

async fn read_letters(raw: &mut Raw) {
    for letter in letters() {
        raw.expect_text(&letter).await;
    }
}

/// Runs a check with members over TCP and again with members in memory, each on its own server.
async fn over_tcp_and_memory(server: impl Fn() -> Server, check: impl AsyncFn(Hub, Vec<Raw>)) {
    over_both(&server, async |server| {
        let mut raws = Vec::new();
        for _ in 0..MEMBERS {
            raws.push(Raw::join(&server).await);
        }
        let hub = server.handle().hub();
        await_members(&hub).await;
        check(hub, raws).await;
    })
    .await;
}

/// Runs a check like [`over_tcp_and_memory`], and once more with members over Unix sockets.
async fn over_all_transports(server: impl Fn() -> Server, check: impl AsyncFn(Hub, Vec<Raw>)) {
    over_tcp_and_memory(&server, &check).await;
    #[cfg(unix)]
    {
        let app = server().build().unwrap();
        let mut raws = Vec::new();
        for _ in 0..MEMBERS {
            let (client, server) = tokio::net::UnixStream::pair().unwrap();
            app.serve_stream(server, None);
            let mut raw = Raw::over(client).boxed();
            raw.handshake().await;
            raws.push(raw);
        }
        let hub = app.handle().hub();
        await_members(&hub).await;
        check(hub, raws).await;
    }
}

/// Waits until all members have joined.
async fn await_members(hub: &Hub) {
    while hub.room_size(ROOM) < MEMBERS {
        yield_now().await;
    }
}

const POLICIES: [Overflow; 4] =
    [Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject];

async fn publish_while_clients_read(hub: Hub, raws: Vec<Raw>) {
    let readers = Readers::start(raws, read_letters);
    for letter in letters() {
        let delivery = hub.room(ROOM).send_text(&letter).await.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (MEMBERS, 0));
    }
    readers.finish().await;
}

#[tokio::test]
async fn a_burst_on_the_thread_of_the_sessions_reaches_every_client_that_reads() {
    for policy in POLICIES {
        over_all_transports(|| server(policy), publish_while_clients_read).await;
    }
}

/// Unix sockets are left out because they accept only a few hundred writes, even of a single byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_from_another_thread_reaches_every_client_that_reads() {
    for policy in POLICIES {
        over_tcp_and_memory(|| server(policy), publish_while_clients_read).await;
    }
}

#[tokio::test]
async fn a_burst_reaches_every_client_that_reads_after_its_end() {
    over_all_transports(
        || server(Overflow::Disconnect),
        async |hub, mut raws| {
            for letter in letters() {
                let delivery = hub.room(ROOM).send_text(&letter).await.unwrap();
                assert_eq!((delivery.accepted, delivery.refused), (MEMBERS, 0));
            }
            for raw in &mut raws {
                read_letters(raw).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_burst_from_many_tasks_reaches_every_client_that_reads() {
    for policy in POLICIES {
        over_all_transports(
            || server(policy),
            async |hub, raws| {
                let readers = Readers::start(raws, async |raw: &mut Raw| {
                    for _ in 0..MESSAGES {
                        raw.expect_text("x").await;
                    }
                });
                let tasks: Vec<_> = (0..MESSAGES / 10)
                    .map(|_| {
                        let hub = hub.clone();
                        tokio::spawn(async move {
                            for _ in 0..10 {
                                let delivery = hub.room(ROOM).send_text("x").await.unwrap();
                                assert_eq!((delivery.accepted, delivery.refused), (MEMBERS, 0));
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                readers.finish().await;
            },
        )
        .await;
    }
}

#[derive(Message, Serialize)]
struct Letter {
    letter: String,
}

#[tokio::test]
async fn a_loop_of_try_send_loses_no_message_over_tcp() {
    for policy in POLICIES {
        let server = TestServer::bind(server(policy)).await;
        let raws = vec![Raw::join(&server).await];
        let hub = server.handle().hub();
        let ws = loop {
            match hub.members(ROOM).first() {
                Some(ws) => break ws.clone(),
                None => yield_now().await,
            }
        };
        let readers = Readers::start(raws, async |raw: &mut Raw| {
            for letter in letters() {
                assert_eq!(raw.read_json().await["letter"], letter);
            }
        });
        for letter in letters() {
            ws.try_send(&Letter { letter }).unwrap();
        }
        assert_eq!(ws.outbound().dropped, 0);
        readers.finish().await;
    }
}

#[tokio::test]
async fn try_send_fails_on_a_full_queue_if_only_the_session_can_write_and_has_not_run() {
    for policy in POLICIES {
        let server = TestServer::new(server(policy));
        let mut raw = Raw::join(&server).await;
        let hub = server.handle().hub();
        let ws = loop {
            match hub.members(ROOM).first() {
                Some(ws) => break ws.clone(),
                None => yield_now().await,
            }
        };
        let mut accepted = Vec::new();
        for letter in letters() {
            match ws.try_send(&Letter { letter: letter.clone() }) {
                Ok(()) => accepted.push(letter),
                Err(SendError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((accepted.len(), ws.outbound().dropped), (1024, 0), "{policy:?}");
        for letter in accepted {
            assert_eq!(raw.read_json().await["letter"], letter);
        }
        ws.try_send(&Letter { letter: "after".into() }).unwrap();
        assert_eq!(raw.read_json().await["letter"], "after");
    }
}

#[derive(Message, Deserialize)]
struct Enter {
    name: String,
}

#[message("enter")]
async fn enter_as(ws: WebSocket, Enter { name }: Enter) -> Result {
    ws.join_as("lobby", &json!({ "name": name })).await?;
    Ok(())
}

#[message("leave")]
async fn leave(ws: WebSocket) {
    ws.leave("lobby");
}

#[tokio::test]
async fn announcements_do_not_close_a_client_that_reads() {
    let narrow = || {
        let limits = limits(|limits| limits.outbound_messages = 1);
        Server::from(Router::new().routes(routes![enter_as, leave])).limits(limits)
    };
    over_both(narrow, async |server| {
        let mut staying = Raw::join(&server).await;
        staying.send_text(r#"{"type":"enter","name":"ann"}"#).await;
        assert_eq!(staying.read_json().await["type"], "room.members");
        let mut leaving = Raw::join(&server).await;
        leaving.send_text(r#"{"type":"enter","name":"bob"}"#).await;
        assert_eq!(leaving.read_json().await["type"], "room.members");
        assert_eq!(staying.read_json().await["type"], "room.joined");
        let mut coming = Raw::join(&server).await;
        leaving.send_text(r#"{"type":"leave"}"#).await;
        coming.send_text(r#"{"type":"enter","name":"eve"}"#).await;
        assert_eq!(coming.read_json().await["type"], "room.members");
        // Both announcements are sent together, although the queue holds one message.
        assert_eq!(staying.read_json().await["type"], "room.left");
        assert_eq!(staying.read_json().await["type"], "room.joined");
        assert_eq!(server.handle().stats().active, 3);
    })
    .await;
}

/// Passes the handle of each connection to the test.
struct Sockets(Arc<Mutex<mpsc::Receiver<WebSocket>>>, mpsc::Sender<WebSocket>);

impl Sockets {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        Self(Arc::new(Mutex::new(receiver)), sender)
    }

    fn router(&self) -> Router {
        let sender = self.1.clone();
        Router::new().route(aiows::routing::Route::connect(move |call: aiows::extract::Call| {
            sender.try_send(call.websocket().clone()).unwrap();
            async {}
        }))
    }

    async fn next(&self) -> WebSocket {
        self.0.lock().await.recv().await.unwrap()
    }
}

/// Connects a client in memory, over a stream with a buffer of this many bytes.
async fn connect_through(app: &aiows::App, bytes: usize) -> Raw {
    let (client, server) = tokio::io::duplex(bytes);
    app.serve_stream(server, None);
    let mut raw = Raw::over(client).boxed();
    raw.handshake().await;
    raw
}

#[tokio::test]
async fn a_large_send_among_small_ones_gets_its_turn() {
    let sockets = Sockets::new();
    let narrow = limits(|limits| limits.outbound_size = 10_000);
    let app = Server::from(sockets.router()).limits(narrow).build().unwrap();
    let mut raw = connect_through(&app, 1000).await;
    let ws = sockets.next().await;
    let small = "s".repeat(996);
    for _ in 0..20 {
        let (ws, small) = (ws.clone(), small.clone());
        tokio::spawn(async move { while ws.send_text(&small).await.is_ok() {} });
    }
    while ws.outbound().pending < 10 {
        yield_now().await;
    }
    let large = tokio::spawn(async move { ws.send_text(&"L".repeat(9000)).await });
    let mut before = 0;
    while raw.read_frame().await.unwrap().payload.len() < 9000 {
        before += 1;
        assert!(before < 100, "overtaken by {before} small messages");
    }
    large.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_send_that_finds_the_queue_full_does_not_close_a_client_that_reads() {
    let sockets = Sockets::new();
    let narrow = limits(|limits| limits.outbound_size = 10_000);
    let app = Server::from(sockets.router()).limits(narrow).build().unwrap();
    let mut raw = connect_through(&app, 1000).await;
    let ws = sockets.next().await;
    let large = "L".repeat(9000);
    let mut sending = std::pin::pin!(ws.send_text(&large));
    let small = "s".repeat(996);
    let outcome = loop {
        // `try_send` does not wait, so it keeps the queue full.
        while ws.try_send(&Letter { letter: small.clone() }).is_ok() {}
        tokio::select! {
            biased;
            outcome = &mut sending => break outcome,
            frame = raw.read_frame() => assert_eq!(frame.unwrap().first, 0x81),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(matches!(outcome, Err(SendError::Full)), "{outcome:?}");
    assert!(!ws.is_closed());
    while ws.outbound().pending > 0 {
        raw.read_frame().await.unwrap();
    }
    ws.send_text("still here").await.unwrap();
    while raw.read_frame().await.unwrap().payload != b"still here" {}
}

/// The handler blocks its worker thread, and the session with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_with_a_blocked_session_stays_connected_while_its_messages_are_refused() {
    let (begun, begins) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let ends = Arc::new(std::sync::Mutex::new(ends));
    let block = aiows::routing::Route::message("block", move |_: aiows::extract::Call| {
        let (begun, ends) = (begun.clone(), Arc::clone(&ends));
        async move {
            begun.send(()).unwrap();
            let _ = ends.lock().unwrap().recv();
        }
    });
    let router = Router::new().routes(routes![enter]).route(block);
    let hasty = limits(|limits| limits.write_timeout = std::time::Duration::from_millis(500));
    let server = TestServer::new(Server::from(router).limits(hasty));
    let mut blocked = Raw::join(&server).await;
    let mut bystander = Raw::join(&server).await;
    let hub = server.handle().hub();
    while hub.room_size(ROOM) < 2 {
        yield_now().await;
    }
    blocked.send_text(r#"{"type":"block"}"#).await;
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
    let mut refused = 0;
    for letter in letters() {
        let delivery = hub.room(ROOM).send_text(&letter).await.unwrap();
        refused += delivery.refused;
        // Only one message waits for the blocked session. Later messages are not delayed.
        bystander.expect_text(&letter).await;
    }
    assert_eq!(refused, MESSAGES - 1024);
    end.send(()).unwrap();
    for letter in letters().take(1024) {
        blocked.expect_text(&letter).await;
    }
    while hub.room(ROOM).send_text("after").await.unwrap().refused > 0 {
        bystander.expect_text("after").await;
    }
    blocked.expect_text("after").await;
}

#[test]
fn a_session_that_does_not_run_costs_other_clients_no_message() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let app = server(Overflow::Disconnect).build().unwrap();
    let hub = app.handle().hub();
    let (served, starved) = (runtime(), runtime());
    let join = async || {
        let before = hub.room_size(ROOM);
        let raw = connect_through(&app, 1000).await;
        while hub.room_size(ROOM) == before {
            yield_now().await;
        }
        raw
    };
    let mut reader = served.block_on(join());
    // These sessions do not run from now on.
    let _others: Vec<_> = (0..8).map(|_| starved.block_on(join())).collect();
    served.block_on(async {
        assert_eq!(hub.room_size(ROOM), 9);
        for _ in 0..1024 {
            assert_eq!(hub.room(ROOM).send_text("x").await.unwrap().accepted, 9);
        }
        let delivery = hub.room(ROOM).send_text("last");
        let read = async {
            for _ in 0..1024 {
                reader.expect_text("x").await;
            }
            reader.expect_text("last").await;
        };
        let (delivery, ()) = tokio::join!(delivery, read);
        let delivery = delivery.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (1, 8));
    });
}

/// The handler blocks its worker thread, and the session with it. Over TCP the sender writes by
/// itself, so it knows that the client takes no bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_takes_no_bytes_is_closed_by_a_send_even_if_its_session_is_blocked() {
    let (begun, begins) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let ends = Arc::new(std::sync::Mutex::new(ends));
    let block = aiows::routing::Route::message("block", move |call: aiows::extract::Call| {
        let (begun, ends) = (begun.clone(), Arc::clone(&ends));
        async move {
            begun.send(call.websocket().clone()).unwrap();
            let _ = ends.lock().unwrap().recv();
        }
    });
    for (overflow, is_closed) in [(Overflow::Disconnect, true), (Overflow::Reject, false)] {
        let narrow = limits(|limits| {
            limits.overflow = overflow;
            limits.write_timeout = std::time::Duration::from_millis(100);
        });
        let server = Server::from(Router::new().route(block.clone())).limits(narrow);
        let server = TestServer::bind(server).await;
        let mut raw = Raw::dial_narrow(&server).await;
        raw.handshake().await;
        raw.send_text(r#"{"type":"block"}"#).await;
        let ws = begins.recv().unwrap();
        // Makes another worker take over the timers from the blocked one.
        tokio::spawn(async {}).await.unwrap();
        let text = "x".repeat(50_000);
        let failed = loop {
            if let Err(error) = ws.send_text(&text).await {
                break error;
            }
        };
        assert!(matches!(failed, SendError::Full), "{failed:?}");
        assert_eq!(ws.is_closed(), is_closed, "{overflow:?}");
        end.send(()).unwrap();
    }
}
