//! The number of allocations per message on a warm connection. All allocations of the process are
//! counted; the client makes none.

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
use exchange::{Exchange, ServerStream};
use handshake::client_handshake;
use serde::{Deserialize, Serialize};
use servers::{Layers, echo, typed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

const MESSAGES: u64 = 1_000;

/// Returns the difference of two runs, which excludes the allocations of a run itself.
fn per_message(serve: impl AsyncFnOnce() -> ServerStream, text: &str) -> f64 {
    let mut exchange = Exchange::open(serve, text);
    let mut count = |messages: u64| {
        let run = || exchange.run(usize::try_from(messages).unwrap());
        allocation_counter::measure(run).count_total
    };
    let (once, twice) = (count(MESSAGES), count(2 * MESSAGES));
    (twice - once) as f64 / MESSAGES as f64
}

fn typed_in(layers: usize) -> impl AsyncFnOnce() -> ServerStream {
    async move || typed(Layers(layers)).await
}

#[test]
fn a_typed_message_allocates_its_string_and_the_handler_s_future() {
    assert_eq!(per_message(typed_in(0), CHAT), 2.0);
    assert_eq!(per_message(typed_in(0), TYPE_LAST), 2.0);
}

#[test]
fn an_id_costs_one_more_allocation() {
    assert_eq!(per_message(typed_in(0), REQUEST), 3.0);
}

#[test]
fn each_middleware_allocates_its_future() {
    assert_eq!(per_message(typed_in(1), CHAT), 3.0);
    assert_eq!(per_message(typed_in(4), CHAT), 6.0);
}

#[test]
fn a_fallback_allocates_its_copies_and_its_future() {
    let echo = async || echo(Layers(0)).await;
    assert_eq!(per_message(echo, OTHER), 3.0);
}

/// The members of a room, on a server in memory. All work runs on the measuring thread.
struct RoomMembers {
    hub: Hub,
    clients: Vec<Box<dyn AsyncRead + Send + Unpin>>,
    _server: TestServer,
    runtime: Runtime,
}

async fn dial(server: &TestServer) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
    let mut stream = server.stream().await;
    client_handshake(&mut stream).await;
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

impl RoomMembers {
    fn new(members: usize) -> Self {
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

    /// Returns the allocations of sending one message, after similar messages were sent before.
    fn allocations(&mut self, news: &News) -> u64 {
        let Self { hub, clients, runtime, .. } = self;
        let mut frame = vec![0; news.text.len() + 64];
        let mut sent = 0;
        for _ in 0..50 {
            let send = || {
                let delivery = runtime.block_on(async {
                    // The first poll costs tokio one allocation. A send to a few members does not
                    // yield.
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
fn a_broadcast_allocates_the_same_for_any_number_of_members() {
    let news = |size| News { text: "x".repeat(size) };
    // The buffer of a small message is used again for the next one.
    for (size, expected) in [(200, 5), (8_000, 9)] {
        for members in [10, 1_000] {
            let allocations = RoomMembers::new(members).allocations(&news(size));
            assert_eq!(allocations, expected, "{size} bytes to {members} members");
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

/// A value without rules that is small in memory but large as JSON.
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

/// The costs of an answer.
#[derive(Debug)]
struct Costs {
    /// The size of the answer in bytes.
    bytes: usize,
    /// The peak of the allocated bytes.
    peak: u64,
    allocations: u64,
}

/// Sends a message of 1 MiB that repeats one item, and measures the answer.
fn measure(field: &str, item: &str) -> Costs {
    measure_within(&format!(r#""{field}":["#), item, "]")
}

/// Like [`measure`], with JSON before and after the items.
fn measure_within(start: &str, item: &str, end: &str) -> Costs {
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
    Costs { bytes, peak: measured.bytes_max, allocations: measured.count_total }
}

/// Returns a text frame with a mask of zeros.
fn masked(text: &str) -> Vec<u8> {
    let length = (text.len() as u64).to_be_bytes();
    [&[0x81, 0xff], &length[..], &[0; 4], text.as_bytes()].concat()
}

#[test]
fn a_message_full_of_errors_costs_no_more_than_a_valid_one() {
    let accepted = measure("items", r#"{"name":"x"}"#);
    for (field, item) in [("items", r#"{"name":"" }"#), ("few", r#"{"name":"x"}"#)] {
        let refused = measure(field, item);
        let text = format!("{field}: {refused:?}, {accepted:?}");
        assert!(refused.bytes <= 4096, "{text}");
        assert!(refused.peak <= accepted.peak + 64 * 1024, "{text}");
        assert!(refused.allocations <= accepted.allocations + 1_000, "{text}");
    }
    // The 350,000 items themselves take this much memory.
    let refused = measure("items", "{}");
    assert!(refused.bytes <= 4096 && refused.peak <= 32 * 1024 * 1024, "{refused:?}");
}

#[test]
fn a_list_that_is_too_long_is_refused_without_a_copy() {
    for (start, end) in [(r#""tags":["#, "]"), (r#""gift":{"tags":["#, "]}")] {
        let refused = measure_within(start, "{}", end);
        assert!(refused.bytes <= 512 && refused.peak <= 8 * 1024 * 1024, "{refused:?}");
    }
}

#[test]
fn a_message_that_does_not_decode_is_not_in_memory_twice() {
    let skipped = measure_within(r#""other":["#, "{}", r#"],"gift":7"#);
    let decoded = measure_within(r#""items":["#, "{}", r#"],"gift":7"#);
    let text = format!("{decoded:?}, {skipped:?}");
    assert!(skipped.bytes <= 512 && decoded.bytes <= 512, "{text}");
    // The items that were decoded before the error are dropped before it is explained.
    assert!(decoded.peak <= skipped.peak + 64 * 1024, "{text}");
}
