//! What a message costs in allocations once its connection is warm: all of the process are counted,
//! and the client makes none.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

#[path = "../benches/dispatch/chat.rs"]
mod chat;
#[path = "../benches/dispatch/exchange.rs"]
mod exchange;
#[path = "../benches/shared/handshake.rs"]
mod handshake;
#[path = "../benches/dispatch/servers.rs"]
mod servers;

use aiows::testing::TestServer;
use aiows::validator::Validate;
use aiows::{Hub, Message, Router, WebSocket, WireNames, connect, message, routes};
use chat::{CHAT, OTHER, REQUEST, TYPE_LAST};
use exchange::{Exchange, Served};
use handshake::shake_hands;
use serde::{Deserialize, Serialize};
use servers::{Layers, echo, typed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

const MESSAGES: u64 = 1_000;

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

async fn dial(server: &TestServer) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
    let mut stream = server.stream().await;
    shake_hands(&mut stream).await;
    stream
}

#[connect]
async fn enter(ws: WebSocket) -> aiows::Result {
    ws.join("room").await?;
    Ok(())
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
                clients.push(Box::new(dial(&server).await) as Box<dyn AsyncRead + Send + Unpin>);
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
    #[serde(default)]
    #[validate(nested)]
    items: Vec<Item>,
    #[serde(default)]
    #[validate(length(max = 1_000), nested)]
    few: Vec<Item>,
    #[serde(default)]
    #[validate(length(max = 1_000))]
    tags: Vec<Tag>,
    #[validate(nested)]
    #[serde(default)]
    gift: Gift,
}

#[derive(Default, WireNames, Deserialize, Validate)]
struct Gift {
    #[validate(length(max = 1_000))]
    tags: Option<Vec<Tag>>,
}

/// A value without rules that is small until it is written as JSON.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Tag {
    hue: u8,
    size: u8,
}

#[derive(WireNames, Deserialize, Serialize, Validate)]
struct Item {
    #[serde(default)]
    #[validate(length(min = 1))]
    name: String,
}

#[message("order")]
async fn order(order: Order) -> Named {
    let named = order.items.iter().chain(&order.few).filter(|item| !item.name.is_empty());
    Named { items: named.count() }
}

#[derive(Message, Serialize)]
struct Named {
    items: usize,
}

/// What an answer costs.
#[derive(Debug)]
struct Answered {
    /// Bytes of the answer.
    bytes: usize,
    /// Bytes that were allocated at a time, at most.
    peak: u64,
    allocations: u64,
}

/// Sends a message of 1 MiB, full of the same item.
fn answered(field: &str, item: &str) -> Answered {
    answered_within(&format!(r#""{field}":["#), item, "]")
}

/// Sends the same with something around the items.
fn answered_within(start: &str, item: &str, end: &str) -> Answered {
    let items = vec![item; (1024 * 1024 - 64) / (item.len() + 1)].join(",");
    let frame = masked(&format!(r#"{{"type":"order",{start}{items}{end}}}"#));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (_server, mut client) = runtime.block_on(async {
        let server = TestServer::new(Router::new().routes(routes![order]));
        let client = dial(&server).await;
        (server, client)
    });
    let mut bytes = 0;
    let mut exchange = async || {
        client.write_all(&frame).await.unwrap();
        bytes = match client.read_u16().await.unwrap() {
            0x817e => usize::from(client.read_u16().await.unwrap()),
            0x817f => usize::try_from(client.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short & 0x7f),
        };
        let mut part = [0; 4096];
        let mut left = bytes;
        while left > 0 {
            left -= client.read(&mut part[..left.min(4096)]).await.unwrap();
        }
    };
    let measured = allocation_counter::measure(|| runtime.block_on(exchange()));
    Answered { bytes, peak: measured.bytes_max, allocations: measured.count_total }
}

/// A text frame under a mask of zeros.
fn masked(text: &str) -> Vec<u8> {
    let length = (text.len() as u64).to_be_bytes();
    [&[0x81, 0xff], &length[..], &[0; 4], text.as_bytes()].concat()
}

#[test]
fn a_message_full_of_faults_costs_no_more_than_one_without() {
    let accepted = answered("items", r#"{"name":"x"}"#);
    for (field, item) in [("items", r#"{"name":"" }"#), ("few", r#"{"name":"x"}"#)] {
        let refused = answered(field, item);
        let text = format!("{field}: {refused:?}, {accepted:?}");
        assert!(refused.bytes <= 4096, "{text}");
        assert!(refused.peak <= accepted.peak + 64 * 1024, "{text}");
        assert!(refused.allocations <= accepted.allocations + 1_000, "{text}");
    }
    // As much memory as the 350,000 items themselves take.
    let refused = answered("items", "{}");
    assert!(refused.bytes <= 4096 && refused.peak <= 32 * 1024 * 1024, "{refused:?}");
}

#[test]
fn a_list_that_is_too_long_is_not_copied() {
    for (start, end) in [(r#""tags":["#, "]"), (r#""gift":{"tags":["#, "]}")] {
        let refused = answered_within(start, "{}", end);
        assert!(refused.bytes <= 512 && refused.peak <= 8 * 1024 * 1024, "{refused:?}");
    }
}
