//! What a message costs in allocations once its connection is warm: all of the process are counted,
//! and the client makes none.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

#[path = "../benches/dispatch/chat.rs"]
mod chat;
#[path = "../benches/dispatch/exchange.rs"]
mod exchange;
#[path = "../benches/dispatch/servers.rs"]
mod servers;

use aiows::testing::TestServer;
use aiows::validator::Validate;
use aiows::{Hub, Message, Router, WebSocket, WireNames, connect, message, routes};
use chat::{CHAT, OTHER, REQUEST, TYPE_LAST};
use exchange::{Exchange, Served};
use serde::{Deserialize, Serialize};
use servers::{Layers, echo, typed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

const MESSAGES: u64 = 1_000;

const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The difference of two runs, so that what a run itself allocates is not in it.
fn per_message(serve: impl AsyncFnOnce() -> Served, text: &str) -> f64 {
    let mut exchange = Exchange::open(serve, text);
    let mut count = |messages: u64| {
        let run = || exchange.run(usize::try_from(messages).unwrap());
        allocation_counter::measure(run).count_total
    };
    let (once, twice) = (count(MESSAGES), count(2 * MESSAGES));
    (twice - once) as f64 / MESSAGES as f64
}

fn typed_in(layers: usize) -> impl AsyncFnOnce() -> Served {
    async move || typed(Layers(layers)).await
}

#[test]
fn a_typed_message_costs_its_string_and_the_handlers_future() {
    assert_eq!(per_message(typed_in(0), CHAT), 2.0);
    assert_eq!(per_message(typed_in(0), TYPE_LAST), 2.0);
}

#[test]
fn an_id_costs_one_more() {
    assert_eq!(per_message(typed_in(0), REQUEST), 3.0);
}

#[test]
fn each_middleware_costs_its_future() {
    assert_eq!(per_message(typed_in(1), CHAT), 3.0);
    assert_eq!(per_message(typed_in(4), CHAT), 6.0);
}

#[test]
fn a_fallback_costs_its_copies_and_its_future() {
    let echo = async || echo(Layers(0)).await;
    assert_eq!(per_message(echo, OTHER), 3.0);
}

/// Members of a room, on a server in memory: everything runs on the thread that measures.
struct Crowd {
    hub: Hub,
    clients: Vec<Box<dyn AsyncRead + Send + Unpin>>,
    _server: TestServer,
    runtime: Runtime,
}

#[connect]
async fn enter(ws: WebSocket) -> aiows::Result {
    ws.join("room").await
}

#[derive(Message, Serialize)]
struct News {
    text: String,
}

impl Crowd {
    fn of(members: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (server, clients) = runtime.block_on(async {
            let server = TestServer::new(Router::new().routes(routes![enter]));
            let mut clients = Vec::new();
            for _ in 0..members {
                let mut stream = server.stream().await;
                stream.write_all(HANDSHAKE).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\n") {
                    answer.push(stream.read_u8().await.unwrap());
                }
                clients.push(Box::new(stream) as Box<dyn AsyncRead + Send + Unpin>);
            }
            (server, clients)
        });
        Self { hub: server.handle().hub(), clients, _server: server, runtime }
    }

    /// What sending one message allocates, when messages like it were sent before.
    fn cost(&mut self, news: &News) -> u64 {
        let Self { hub, clients, runtime, .. } = self;
        let mut frame = vec![0; news.text.len() + 64];
        let mut sent = 0;
        for _ in 0..50 {
            let send = || {
                let delivery = runtime.block_on(async {
                    // The first time costs tokio one allocation, and a few members are sent to
                    // without giving others a turn.
                    yield_now().await;
                    hub.room("room").send(news).await.unwrap()
                });
                assert_eq!((delivery.accepted, delivery.refused), (clients.len(), 0));
            };
            sent = allocation_counter::measure(send).count_total;
            runtime.block_on(async {
                for client in clients.iter_mut() {
                    let length = 4 + br#"{"type":"news","text":""}"#.len() + news.text.len();
                    client.read_exact(&mut frame[..length]).await.unwrap();
                }
            });
        }
        sent
    }
}

#[test]
fn a_broadcast_costs_the_same_for_every_number_of_members() {
    let news = |size| News { text: "x".repeat(size) };
    for size in [200, 8_000] {
        for members in [10, 1_000] {
            let cost = Crowd::of(members).cost(&news(size));
            assert_eq!(cost, 10, "{size} bytes to {members} members");
        }
    }
}

#[derive(Message, Deserialize, Validate)]
struct Order {
    #[validate(nested)]
    items: Vec<Item>,
}

#[derive(WireNames, Deserialize, Validate)]
struct Item {
    #[serde(default)]
    #[validate(length(min = 1))]
    name: String,
}

#[derive(Message, Serialize)]
struct Count {
    items: usize,
}

#[message("order")]
async fn order(order: Order) -> Count {
    let named = order.items.iter().filter(|item| !item.name.is_empty());
    Count { items: named.count() }
}

/// What handling a message takes at most at a time, in bytes, and how long it is answered.
fn peak(items: &str) -> (u64, usize) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let text = format!(r#"{{"type":"order","items":[{items}]}}"#);
    let mut frame = vec![0x81, 0xff];
    frame.extend((text.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    let (_server, mut client) = runtime.block_on(async {
        let server = TestServer::new(Router::new().routes(routes![order]));
        let mut client = server.stream().await;
        client.write_all(HANDSHAKE).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        (server, client)
    });
    let mut answered = 0;
    let started = std::time::Instant::now();
    let measured = allocation_counter::measure(|| {
        runtime.block_on(async {
            client.write_all(&frame).await.unwrap();
            let mut head = [0; 2];
            client.read_exact(&mut head).await.unwrap();
            answered = match head[1] {
                126 => usize::from(client.read_u16().await.unwrap()),
                127 => usize::try_from(client.read_u64().await.unwrap()).unwrap(),
                short => usize::from(short),
            };
            let mut part = [0; 4096];
            let mut left = answered;
            while left > 0 {
                left -= client.read(&mut part[..left.min(4096)]).await.unwrap();
            }
        });
    });
    println!("{measured:?} {:?} answer {answered}", started.elapsed());
    (measured.bytes_max, answered)
}

#[test]
fn a_message_full_of_faults_costs_no_more_than_one_without() {
    let fill = |item: &str| vec![item; (1024 * 1024 - 64) / (item.len() + 1)].join(",");
    for (good, bad) in [(r#"{"name":"x"}"#, r#"{"name":"" }"#), ("{}", "{}")] {
        let (good, bad) = (peak(&fill(good)), peak(&fill(bad)));
        println!("{good:?} {bad:?}");
    }
}
