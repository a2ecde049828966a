//! The effects of overflow policies and `latest` on queued messages, and the results for senders.

use std::time::{Duration, Instant};

use aiows::error::{RequestError, SendError};
use aiows::messages::Overflow;
use aiows::routing::Route;
use aiows::{Message, MessageId, RawMessage, Result, Router, Server, WebSocket, message, routes};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::pressure::{Sockets, Tick, in_memory, number, read_numbers, stall_exactly, tick};
use crate::raw::{Raw, limits, over_both};
use aiows::testing::TestServer;

#[derive(Message, Serialize)]
#[aiows(delivery = "drop_oldest")]
struct News {
    n: u32,
}

#[derive(Message, Serialize)]
#[aiows(delivery = "drop_oldest")]
struct Gossip {
    n: u32,
}

#[derive(Message, Serialize)]
#[aiows(delivery = "reject")]
struct Bill {
    n: u32,
}

#[derive(Message, Serialize)]
#[aiows(delivery = "drop_newest")]
struct Hint {
    n: u32,
}

#[derive(Message, Serialize)]
struct Confirm;

#[derive(Debug, Message, Deserialize)]
struct Confirmed {}

async fn read_prices(raw: &mut Raw, count: usize) -> Vec<Value> {
    let mut prices = Vec::new();
    for _ in 0..count {
        prices.push(raw.read_json().await["price"].take());
    }
    prices
}

#[tokio::test]
async fn latest_delivery_ends_on_the_newest_value_even_behind_replies() {
    let (ws, mut raw, _server) = in_memory(Overflow::Disconnect).await;
    ws.send(&tick("AAPL", 100)).await.unwrap();
    ws.reply(&MessageId::from(1), &tick("AAPL", 101)).await.unwrap();
    ws.send(&tick("AAPL", 102)).await.unwrap();
    // No other message with this key is queued behind it now.
    ws.send(&tick("AAPL", 103)).await.unwrap();
    assert_eq!(ws.outbound().replaced, 2);
    assert_eq!(read_prices(&mut raw, 2).await, [101, 103]);
    // A reply with another key does not prevent the replacement.
    ws.send(&tick("AAPL", 1)).await.unwrap();
    ws.reply(&MessageId::from(2), &tick("MSFT", 2)).await.unwrap();
    ws.send(&tick("AAPL", 3)).await.unwrap();
    assert_eq!(read_prices(&mut raw, 2).await, [3, 2]);
}

#[tokio::test]
async fn latest_delivery_ends_on_the_newest_value_even_behind_answers_and_requests() {
    let answers = Route::connect(async |call: aiows::extract::Call| {
        call.websocket().send(&tick("AAPL", 100)).await?;
        Ok::<_, SendError>(tick("AAPL", 101))
    });
    let requests = Route::connect(async |call: aiows::extract::Call| {
        let ws = call.websocket();
        ws.send(&tick("AAPL", 102)).await?;
        let newer = tick("AAPL", 103);
        let pending = ws.request::<Confirmed>(&newer, Duration::from_secs(5));
        assert!(pending.now_or_never().is_none());
        ws.send(&tick("AAPL", 104)).await
    });
    let server = || Server::from(Router::new().route(answers.clone()).route(requests.clone()));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        assert_eq!(read_prices(&mut raw, 3).await, [101, 103, 104]);
    })
    .await;
}

#[tokio::test]
async fn a_broadcast_of_a_latest_type_replaces_the_older_value_of_its_key() {
    let (ws, mut raw, server) = in_memory(Overflow::Disconnect).await;
    let hub = server.handle().hub();
    for price in [100, 200] {
        for tick in [tick("AAPL", price), tick("MSFT", price + 1)] {
            assert_eq!(hub.all().send(&tick).await.unwrap().accepted, 1);
        }
    }
    assert_eq!(ws.outbound().replaced, 2);
    assert_eq!(read_prices(&mut raw, 2).await, [200, 201]);
}

#[tokio::test]
async fn a_drop_oldest_type_drops_only_its_own_messages() {
    let (ws, mut raw, _server) = in_memory(Overflow::Disconnect).await;
    let sent = stall_exactly(&ws, 5).await;
    ws.reply(&MessageId::from(1), &Hint { n: 1 }).await.unwrap();
    ws.send(&Bill { n: 1 }).await.unwrap();
    ws.send(&Gossip { n: 1 }).await.unwrap();
    let request = tokio::spawn({
        let ws = ws.clone();
        async move { ws.request::<Confirmed>(&Confirm, Duration::from_secs(5)).await }
    });
    yield_now().await;
    for n in 1..=4 {
        ws.send(&News { n }).await.unwrap();
    }
    assert_eq!(ws.outbound().dropped, 3);
    assert_eq!(read_numbers(&mut raw, sent.into()).await, (0..sent).collect::<Vec<_>>());
    assert_eq!(raw.read_json().await, json!({"type": "hint", "correlation_id": 1, "n": 1}));
    assert_eq!(raw.read_json().await, json!({"type": "bill", "n": 1}));
    assert_eq!(raw.read_json().await, json!({"type": "gossip", "n": 1}));
    assert_eq!(raw.read_json().await, json!({"type": "confirm", "id": "s1"}));
    assert_eq!(raw.read_json().await, json!({"type": "news", "n": 4}));
    raw.send_text(r#"{"type":"confirmed","correlation_id":"s1"}"#).await;
    request.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drop_oldest_message_is_dropped_itself_if_no_older_one_of_its_type_is_queued() {
    let (ws, mut raw, _server) = in_memory(Overflow::Disconnect).await;
    let sent = stall_exactly(&ws, 0).await;
    ws.send(&News { n: 1 }).await.unwrap();
    ws.try_send(&News { n: 2 }).unwrap();
    assert_eq!(ws.outbound().dropped, 2);
    assert_eq!(read_numbers(&mut raw, sent.into()).await.len(), sent as usize);
    ws.send(&News { n: 3 }).await.unwrap();
    assert_eq!(raw.read_json().await["n"], 3);
}

#[tokio::test]
async fn the_servers_policy_drops_no_answers_no_requests_and_no_types_with_their_own_policy() {
    let (ws, mut raw, _server) = in_memory(Overflow::DropOldest).await;
    let sent = stall_exactly(&ws, 5).await;
    ws.reply(&MessageId::from(1), &number(100)).await.unwrap();
    ws.send(&Bill { n: 101 }).await.unwrap();
    ws.send(&Hint { n: 102 }).await.unwrap();
    ws.send(&News { n: 103 }).await.unwrap();
    let request = tokio::spawn({
        let ws = ws.clone();
        async move { ws.request::<Confirmed>(&Confirm, Duration::from_secs(5)).await }
    });
    yield_now().await;
    for n in 1000..1100 {
        ws.send(&number(n)).await.unwrap();
    }
    // A queue full of messages that must not be dropped has no room for the others.
    let mut numbers = Vec::new();
    let mut kept = Vec::new();
    while numbers.last() != Some(&1099) {
        let message = raw.read_json().await;
        if message["type"] == "number" && message["correlation_id"].is_null() {
            numbers.push(message["n"].as_u64().unwrap());
        } else {
            kept.push(message["type"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(kept, ["number", "bill", "hint", "news", "confirm"]);
    assert!(numbers[0] < u64::from(sent) && numbers.is_sorted(), "{numbers:?}");
    raw.send_text(r#"{"type":"confirmed","correlation_id":"s1"}"#).await;
    request.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_and_requests_that_find_the_queue_full_fail_and_are_not_dropped() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject] {
        let (ws, _raw, _server) = in_memory(overflow).await;
        stall_exactly(&ws, 0).await;
        // Replies are accepted until the queue holds no more messages that may be dropped.
        let mut id = 0;
        let failed = loop {
            id += 1;
            match ws.reply(&MessageId::from(id), &Hint { n: 1 }).await {
                Ok(()) => assert!(overflow == Overflow::DropOldest && id < 20, "{overflow:?}"),
                Err(error) => break error,
            }
        };
        // The server closes the unresponsive client at about the same time.
        assert!(matches!(failed, SendError::Full | SendError::Closed), "{failed:?}");
        let request = ws.request::<Confirmed>(&Confirm, Duration::from_secs(1)).await;
        let failed = !matches!(request, Ok(_) | Err(RequestError::Invalid(_)));
        assert!(failed, "{overflow:?} {request:?}");
    }
}

#[tokio::test]
async fn a_message_that_a_policy_drops_at_once_is_not_accepted() {
    for overflow in [Overflow::DropNewest, Overflow::Disconnect] {
        let (ws, _raw, server) = in_memory(overflow).await;
        stall_exactly(&ws, 0).await;
        let hub = server.handle().hub();
        let delivery = hub.all().send(&Hint { n: 1 }).await.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (0, 1), "{overflow:?}");
        let delivery = hub.all().send(&News { n: 1 }).await.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (0, 1), "{overflow:?}");
        assert_eq!(ws.outbound().dropped, 2);
    }
    let (ws, _raw, server) = in_memory(Overflow::DropOldest).await;
    stall_exactly(&ws, 0).await;
    let delivery = server.handle().hub().all().send(&number(1)).await.unwrap();
    assert_eq!((delivery.accepted, delivery.refused), (1, 0));
}

#[derive(Message, Serialize)]
struct NotAnObject(u32);

#[tokio::test]
async fn a_message_that_is_not_an_object_is_an_error_even_for_an_empty_room() {
    let sockets = Sockets::new();
    let server = TestServer::new(Server::from(sockets.router()));
    let hub = server.handle().hub();
    let is_refused = |sent| matches!(sent, Err(SendError::Encode(_)));
    assert!(is_refused(hub.room("empty").send(&NotAnObject(1)).await));
    assert!(is_refused(hub.all().send(&NotAnObject(1)).await));
    assert!(is_refused(aiows::Hub::default().all().send(&NotAnObject(1)).await));
    let _raw = Raw::join(&server).await;
    let ws: WebSocket = sockets.next().await;
    assert!(is_refused(hub.all().send(&NotAnObject(1)).await));
    assert!(is_refused(hub.all().except(ws.id()).send(&NotAnObject(1)).await));
    assert!(is_refused(hub.all().filter(|_| false).send(&NotAnObject(1)).await));
    assert_eq!(hub.room("empty").send(&Confirm).await.unwrap().accepted, 0);
}

#[tokio::test]
async fn json_with_a_reserved_type_is_refused_wherever_the_type_appears() {
    #[message("say")]
    async fn say(value: RawMessage) -> Result<Value> {
        Ok(value.json()?["value"].take())
    }
    for tag in ["type", "action", "a\"b"] {
        let sockets = Sockets::new();
        let router = sockets.router().tag(tag).routes(routes![say]);
        let server = TestServer::new(Server::from(router));
        let hub = server.handle().hub();
        let mut raw = Raw::join(&server).await;
        let ws: WebSocket = sockets.next().await;
        let is_refused = |sent: &Result<(), SendError>| match sent {
            Err(SendError::Encode(error)) => {
                assert!(error.to_string().contains("` is reserved for the protocol"), "{error}");
                true
            }
            _ => false,
        };
        for name in
            ["ack", "auth", "auth_success", "error", "room.joined", "room.left", "room.members"]
        {
            let value = json!({ "a": [{ tag: "x" }], tag: name, "z": 1 });
            assert!(is_refused(&ws.send_json(&value).await), "{value}");
            assert!(is_refused(&hub.all().send_json(&value).await.map(drop)), "{value}");
            raw.send_text(&json!({ tag: "say", "value": value }).to_string()).await;
            assert_eq!(raw.read_json().await["code"], "internal", "{value}");
        }
        let key = serde_json::to_string(tag).unwrap();
        for text in
            [format!("{{\"x\":1,\n {key} : \"err\\u006fr\"}}"), format!("{{{key}\t:\t\"error\"}}")]
        {
            let written = RawValue::from_string(text).unwrap();
            assert!(is_refused(&ws.send_json(&written).await), "{written}");
        }
        for value in [
            json!({ tag: "errors", "other": "error" }),
            json!({ tag: "x", "inner": { tag: "error" }, "text": format!("{key}:\"error\"") }),
            json!([{ tag: "error" }]),
            json!({ tag: 7 }),
            json!("error"),
        ] {
            ws.send_json(&value).await.unwrap();
            assert_eq!(raw.read_json().await, value);
            assert_eq!(hub.all().send_json(&value).await.unwrap().accepted, 1);
            assert_eq!(raw.read_json().await, value);
        }
    }
}

/// A scan of the queue for each message would take minutes.
#[tokio::test]
async fn latest_delivery_is_cheap_with_sixteen_thousand_keys_in_one_queue() {
    const KEYS: u32 = 16_000;
    let sockets = Sockets::new();
    let roomy = limits(|limits| {
        limits.outbound_messages = 40_000;
        limits.outbound_size = 1 << 30;
    });
    let server = TestServer::new(Server::from(sockets.router()).limits(roomy));
    let mut raw = Raw::join(&server).await;
    let ws = sockets.next().await;
    let symbols: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
    let started = Instant::now();
    for round in 0..20 {
        for symbol in &symbols {
            ws.try_send(&tick(symbol, round)).unwrap();
        }
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(ws.outbound().pending, u64::from(KEYS));
    for symbol in &symbols {
        let tick: Tick = serde_json::from_value(raw.read_json().await).unwrap();
        assert_eq!((&tick.symbol, tick.price), (symbol, 19));
    }
}
