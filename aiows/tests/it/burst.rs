//! Bursts to clients that read: only a socket that refuses bytes makes a client slow.

use std::sync::Arc;
use std::thread::JoinHandle;

use aiows::testing::TestServer;
use aiows::{
    Hub, Message, Overflow, Result, Router, SendError, Server, WebSocket, connect, message, routes,
};
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

/// The burst as one byte for each message, in an order that shows a message that is missing.
fn letters() -> impl Iterator<Item = String> {
    (0..MESSAGES).map(|number| char::from(b'a' + (number % 23) as u8).to_string())
}

/// Clients on a thread of their own, which reads while the thread of the server publishes.
struct Readers(JoinHandle<()>);

impl Readers {
    fn start(mut raws: Vec<Raw>, read: impl AsyncFn(&mut Raw) + Send + 'static) -> Self {
        Self(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let all = raws.iter_mut().map(|raw| read(raw));
            runtime.unwrap().block_on(futures_util::future::join_all(all));
        }))
    }

    /// Waits for the clients, and leaves the thread to the sessions meanwhile.
    async fn finish(self) {
        tokio::task::spawn_blocking(|| self.0.join().unwrap()).await.unwrap();
    }
}

async fn read_letters(raw: &mut Raw) {
    for letter in letters() {
        raw.expect_text(&letter).await;
    }
}

/// Connects members over TCP and in memory, each with its server.
async fn over_two(server: impl Fn() -> Server, check: impl AsyncFn(Hub, Vec<Raw>)) {
    over_both(&server, async |server| {
        let mut raws = Vec::new();
        for _ in 0..MEMBERS {
            raws.push(Raw::join(&server).await);
        }
        let hub = server.handle().hub();
        settle(&hub).await;
        check(hub, raws).await;
    })
    .await;
}

/// As [`over_two`], and over Unix sockets.
async fn over_all(server: impl Fn() -> Server, check: impl AsyncFn(Hub, Vec<Raw>)) {
    over_two(&server, &check).await;
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
        settle(&hub).await;
        check(hub, raws).await;
    }
}

/// Waits until everybody has joined.
async fn settle(hub: &Hub) {
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
async fn a_burst_from_the_thread_of_the_sessions_reaches_every_client_that_reads() {
    for policy in POLICIES {
        over_all(|| server(policy), publish_while_clients_read).await;
    }
}

/// Not over a Unix socket: it refuses bytes after some hundred writes, however small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_from_a_thread_beside_the_sessions_reaches_every_client_that_reads() {
    for policy in POLICIES {
        over_two(|| server(policy), publish_while_clients_read).await;
    }
}

#[tokio::test]
async fn a_burst_that_is_read_when_it_is_over_reaches_every_client() {
    over_all(
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
async fn a_burst_of_many_tasks_reaches_every_client_that_reads() {
    for policy in POLICIES {
        over_all(
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
async fn a_loop_of_try_send_loses_nothing_over_tcp() {
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
async fn try_send_refuses_where_only_the_session_can_write_and_has_not_tried() {
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
async fn announcements_close_no_client_that_reads() {
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
        // One gathering: two messages in a row, for a queue that holds one.
        assert_eq!(staying.read_json().await["type"], "room.left");
        assert_eq!(staying.read_json().await["type"], "room.joined");
        assert_eq!(server.handle().stats().active, 3);
    })
    .await;
}

/// Hands over the server's side of each connection.
struct Sockets(Arc<Mutex<mpsc::Receiver<WebSocket>>>, mpsc::Sender<WebSocket>);

impl Sockets {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        Self(Arc::new(Mutex::new(receiver)), sender)
    }

    fn router(&self) -> Router {
        let sender = self.1.clone();
        Router::new().route(aiows::Route::connect(move |call: aiows::Call| {
            sender.try_send(call.websocket().clone()).unwrap();
            async {}
        }))
    }

    async fn next(&self) -> WebSocket {
        self.0.lock().await.recv().await.unwrap()
    }
}

/// Connects one client in memory, through which only this many bytes fit at once.
async fn through(app: &aiows::App, bytes: usize) -> Raw {
    let (client, server) = tokio::io::duplex(bytes);
    app.serve_stream(server, None);
    let mut raw = Raw::over(client).boxed();
    raw.handshake().await;
    raw
}

#[tokio::test]
async fn a_large_send_among_small_ones_is_served_in_its_turn() {
    let sockets = Sockets::new();
    let narrow = limits(|limits| limits.outbound_size = 10_000);
    let app = Server::from(sockets.router()).limits(narrow).build().unwrap();
    let mut raw = through(&app, 1000).await;
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
async fn a_send_that_finds_no_room_does_not_close_a_client_that_reads() {
    let sockets = Sockets::new();
    let narrow = limits(|limits| limits.outbound_size = 10_000);
    let app = Server::from(sockets.router()).limits(narrow).build().unwrap();
    let mut raw = through(&app, 1000).await;
    let ws = sockets.next().await;
    let large = "L".repeat(9000);
    let mut sending = std::pin::pin!(ws.send_text(&large));
    let small = "s".repeat(996);
    let outcome = loop {
        // A feed that does not wait keeps the queue full.
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

/// The handler keeps its worker, and with it the session, from doing anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_whose_session_has_no_time_is_refused_and_stays() {
    let (begun, begins) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let ends = Arc::new(std::sync::Mutex::new(ends));
    let hog = aiows::Route::message("hog", move |_: aiows::Call| {
        let (begun, ends) = (begun.clone(), Arc::clone(&ends));
        async move {
            begun.send(()).unwrap();
            let _ = ends.lock().unwrap().recv();
        }
    });
    let router = Router::new().routes(routes![enter]).route(hog);
    let hasty = limits(|limits| limits.write_timeout = std::time::Duration::from_millis(500));
    let server = TestServer::new(Server::from(router).limits(hasty));
    let mut hogged = Raw::join(&server).await;
    let mut beside = Raw::join(&server).await;
    let hub = server.handle().hub();
    while hub.room_size(ROOM) < 2 {
        yield_now().await;
    }
    hogged.send_text(r#"{"type":"hog"}"#).await;
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
    let mut refused = 0;
    for letter in letters() {
        let delivery = hub.room(ROOM).send_text(&letter).await.unwrap();
        refused += delivery.refused;
        // It is waited for once: later messages are not delayed.
        beside.expect_text(&letter).await;
    }
    assert_eq!(refused, MESSAGES - 1024);
    end.send(()).unwrap();
    for letter in letters().take(1024) {
        hogged.expect_text(&letter).await;
    }
    while hub.room(ROOM).send_text("after").await.unwrap().refused > 0 {
        beside.expect_text("after").await;
    }
    hogged.expect_text("after").await;
}

#[test]
fn a_session_without_time_takes_no_message_from_clients_that_are_served() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let app = server(Overflow::Disconnect).build().unwrap();
    let hub = app.handle().hub();
    let (served, starved) = (runtime(), runtime());
    let join = async || {
        let before = hub.room_size(ROOM);
        let raw = through(&app, 1000).await;
        while hub.room_size(ROOM) == before {
            yield_now().await;
        }
        raw
    };
    let mut reader = served.block_on(join());
    // Nobody runs these sessions from now on.
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
