//! Handlers of every kind, their answers and their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aiows::extract::{Call, Frame};
use aiows::routing::{IntoOutcome, Outcome, Route};
use aiows::{
    Message, MessageId, RawMessage, Router, State, Text, WebSocket, connect, disconnect, fallback,
    message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::kit::TestServer;

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Count {
    number: u32,
}

#[derive(Message, Deserialize)]
struct Ping;

#[derive(Message, Serialize)]
struct Pong;

#[message("ping")]
async fn on_ping(_ping: Ping) -> Pong {
    Pong
}

#[message("quiet")]
async fn quiet() {}

#[message("count")]
async fn count(count: Count) -> Count {
    count
}

#[tokio::test]
async fn the_messages_of_all_connect_handlers_arrive_in_order() {
    #[connect]
    async fn first() -> Count {
        Count { number: 1 }
    }
    #[connect]
    async fn second(ws: WebSocket) -> aiows::Result<Count> {
        ws.send(&Count { number: 2 }).await?;
        Ok(Count { number: 3 })
    }
    let server = TestServer::new(Router::new().routes(routes![first, second]));
    let mut client = server.connect().await;
    for number in 1..=3 {
        assert_eq!(client.recv::<Count>().await, Count { number });
    }
}

#[tokio::test]
async fn unit_structs_are_sent_without_fields() {
    let server = TestServer::new(Router::new().routes(routes![on_ping]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"ping"}"#).await;
    assert_eq!(client.recv_text().await, r#"{"type":"pong"}"#);
    client.send_text(r#"{"id":"a","extra":[1],"type":"ping"}"#).await;
    assert_eq!(client.recv_text().await, r#"{"type":"pong","correlation_id":"a"}"#);
}

#[tokio::test]
async fn a_request_with_an_id_gets_exactly_one_answer() {
    #[message("maybe")]
    async fn maybe(raw: RawMessage) -> Option<Count> {
        raw.json().ok()?["some"].as_bool()?.then_some(Count { number: 1 })
    }
    let server = TestServer::new(Router::new().routes(routes![quiet, maybe, count]));
    let mut client = server.connect().await;
    for (request, answer) in [
        (r#"{"type":"quiet","id":1}"#, json!({ "type": "ack", "correlation_id": 1 })),
        (r#"{"type":"maybe","id":"x"}"#, json!({ "type": "ack", "correlation_id": "x" })),
        (
            r#"{"type":"maybe","some":true,"id":-3}"#,
            json!({ "type": "count", "correlation_id": -3, "number": 1 }),
        ),
        (
            r#"{"type":"count","number":4,"id":2}"#,
            json!({ "type": "count", "correlation_id": 2, "number": 4 }),
        ),
    ] {
        client.send_text(request).await;
        assert_eq!(client.recv_json().await, answer, "{request}");
    }
    // A request without an id gets no ack, and `null` does not count as an id.
    client.send_text(r#"{"type":"quiet"}"#).await;
    client.send_text(r#"{"type":"quiet","id":null}"#).await;
    client.send(&Count { number: 9 }).await;
    assert_eq!(client.recv_json().await, json!({ "type": "count", "number": 9 }));
}

#[tokio::test]
async fn an_id_is_returned_byte_for_byte() {
    let server = TestServer::new(Router::new().routes(routes![quiet]));
    let mut client = server.connect().await;
    for id in [r#""a\u0041\/""#, "123456789012345678901234567890", r#""""#, "0"] {
        client.send_text(&format!(r#"{{"type":"quiet","id":{id}}}"#)).await;
        let expected = format!(r#"{{"type":"ack","correlation_id":{id}}}"#);
        assert_eq!(client.recv_text().await, expected);
    }
}

#[tokio::test]
async fn a_json_value_is_sent_unchanged_except_for_its_correlation_id() {
    #[message("stats")]
    async fn stats(id: Option<MessageId>) -> Value {
        json!({ "has_id": id.is_some(), "type": "stats" })
    }
    let server = TestServer::new(Router::new().routes(routes![stats]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"stats","id":5}"#).await;
    let expected = json!({ "type": "stats", "has_id": true, "correlation_id": 5 });
    assert_eq!(client.recv_json().await, expected);
}

#[tokio::test]
async fn a_json_value_that_is_not_an_object_is_an_internal_error() {
    #[message("list")]
    async fn list() -> Value {
        json!([1, 2])
    }
    let server = TestServer::new(Router::new().routes(routes![list]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"list"}"#).await;
    let error = client.recv_json().await;
    assert_eq!((&error["code"], &error["message_type"]), (&json!("internal"), &json!("list")));
}

#[tokio::test]
async fn messages_that_a_handler_sends_precede_its_reply() {
    #[message("twice")]
    async fn twice(ws: WebSocket) -> aiows::Result<Count> {
        ws.send(&Count { number: 1 }).await?;
        ws.send_json(&json!({ "plain": true })).await?;
        ws.send_binary(&[1, 2, 3]).await?;
        ws.try_send(&Count { number: 2 })?;
        Ok(Count { number: 3 })
    }
    let server = TestServer::new(Router::new().routes(routes![twice]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"twice"}"#).await;
    assert_eq!(client.recv::<Count>().await, Count { number: 1 });
    assert_eq!(client.recv_text().await, r#"{"plain":true}"#);
    assert_eq!(client.recv_binary().await, [1, 2, 3]);
    assert_eq!(client.recv::<Count>().await, Count { number: 2 });
    assert_eq!(client.recv::<Count>().await, Count { number: 3 });
}

#[tokio::test]
async fn a_fallback_receives_messages_that_no_handler_serves() {
    #[fallback]
    async fn other(raw: RawMessage) -> Value {
        json!({ "type": "other", "was": raw.message_type(), "id": raw.id() })
    }
    let server = TestServer::new(Router::new().routes(routes![other, count]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"nope","id":4}"#).await;
    let expected = json!({ "type": "other", "was": "nope", "id": 4, "correlation_id": 4 });
    assert_eq!(client.recv_json().await, expected);
    client.send(&Count { number: 1 }).await;
    assert_eq!(client.recv::<Count>().await, Count { number: 1 });
    // A fallback that takes messages does not receive text that is not a message.
    client.send_text("plain").await;
    assert_eq!(client.recv_json().await["code"], "invalid_json");
}

#[tokio::test]
async fn a_fallback_that_takes_text_also_receives_text_that_is_not_a_message() {
    #[fallback]
    async fn relay(ws: WebSocket, Text(text): Text) -> aiows::Result {
        Ok(ws.send_text(&format!("<{text}>")).await?)
    }
    let server = TestServer::new(Router::new().routes(routes![relay, count]));
    let mut client = server.connect().await;
    for text in ["plain", "[1,2]", r#"{"type":"x"}"#, r#"{"type":1}"#, "{"] {
        client.send_text(text).await;
        assert_eq!(client.recv_text().await, format!("<{text}>"));
    }
    client.send_binary("é".as_bytes()).await;
    assert_eq!(client.recv_text().await, "<é>");
    client.send_binary(&[0xff]).await;
    assert_eq!(client.expect_closed(1003).await, "Binary data that is not UTF-8");
}

#[tokio::test]
async fn a_fallback_that_takes_bytes_receives_every_frame() {
    #[fallback]
    async fn relay(ws: WebSocket, bytes: aiows::Bytes) -> aiows::Result {
        Ok(ws.send_binary(&bytes).await?)
    }
    let server = TestServer::new(Router::new().routes(routes![relay]));
    let mut client = server.connect().await;
    client.send_binary(&[0xff, 0]).await;
    assert_eq!(client.recv_binary().await, [0xff, 0]);
    client.send_text("plain").await;
    assert_eq!(client.recv_binary().await, b"plain");
}

#[tokio::test]
async fn a_frame_keeps_its_kind_and_its_payload() {
    #[fallback]
    async fn relay(ws: WebSocket, frame: Frame) -> aiows::Result {
        match frame {
            Frame::Text(text) => ws.send_text(&text).await?,
            Frame::Binary(bytes) => ws.send_binary(&bytes).await?,
        }
        Ok(())
    }
    let server = TestServer::new(Router::new().routes(routes![relay]));
    let mut client = server.connect().await;
    for bytes in [&b"plain"[..], br#"{"type":"a"}"#, &[0xff], b""] {
        client.send_binary(bytes).await;
        assert_eq!(client.recv_binary().await, bytes);
    }
    for text in ["plain", r#"{"type":"a"}"#, ""] {
        client.send_text(text).await;
        assert_eq!(client.recv_text().await, text);
    }
}

#[tokio::test]
async fn messages_of_one_connection_are_handled_one_at_a_time() {
    #[derive(Clone, Default)]
    struct Running(Arc<AtomicUsize>);
    #[message("count")]
    async fn slow(State(running): State<Running>, count: Count) -> aiows::Result<Count> {
        let others = running.0.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        running.0.fetch_sub(1, Ordering::SeqCst);
        if others > 0 { Err("two at a time")? } else { Ok(count) }
    }
    let router = Router::new().routes(routes![slow]).state(Running::default());
    let server = TestServer::bind(router).await;
    let mut client = server.connect().await;
    for number in 0..200 {
        client.send(&Count { number }).await;
    }
    for number in 0..200 {
        assert_eq!(client.recv::<Count>().await, Count { number });
    }
}

#[tokio::test]
async fn a_pending_handler_delays_no_other_client_and_other_tasks_can_still_send() {
    let (started, mut starts) = mpsc::channel::<WebSocket>(1);
    let release = Arc::new(Notify::new());
    let wait = Arc::clone(&release);
    let slow = Route::message("slow", move |call: Call| {
        let (started, wait) = (started.clone(), Arc::clone(&wait));
        async move {
            started.send(call.websocket().clone()).await?;
            wait.notified().await;
            Ok::<_, aiows::HandlerError>(Count { number: 1 })
        }
    });
    let server = TestServer::bind(Router::new().route(slow).routes(routes![count])).await;
    let mut stuck = server.connect().await;
    let mut other = server.connect().await;
    stuck.send_text(r#"{"type":"slow"}"#).await;
    let ws = starts.recv().await.unwrap();
    other.send(&Count { number: 7 }).await;
    assert_eq!(other.recv::<Count>().await, Count { number: 7 });
    // The session writes this message while its handler is pending.
    ws.send(&Count { number: 0 }).await.unwrap();
    assert_eq!(stuck.recv::<Count>().await, Count { number: 0 });
    release.notify_one();
    assert_eq!(stuck.recv::<Count>().await, Count { number: 1 });
}

#[tokio::test]
async fn messages_from_another_task_keep_their_order() {
    let (sockets, mut connected) = mpsc::channel::<WebSocket>(1);
    let greet = Route::connect(move |call: Call| {
        let sockets = sockets.clone();
        async move { Ok::<_, aiows::HandlerError>(sockets.send(call.websocket().clone()).await?) }
    });
    let server = TestServer::bind(Router::new().route(greet)).await;
    let mut client = server.connect().await;
    let ws = connected.recv().await.unwrap();
    let sender = tokio::spawn(async move {
        for number in 0..5000 {
            ws.send(&Count { number }).await.unwrap();
        }
    });
    for number in 0..5000 {
        assert_eq!(client.recv::<Count>().await, Count { number });
    }
    sender.await.unwrap();
}

#[tokio::test]
async fn disconnect_handlers_run_in_order_and_cannot_send() {
    #[derive(Clone)]
    struct Log(mpsc::Sender<String>);
    #[disconnect]
    async fn first(ws: WebSocket, State(log): State<Log>) -> aiows::Result {
        let sent = ws.send(&Count { number: 1 }).await;
        Ok(log.0.send(format!("first {} {}", ws.is_closed(), sent.unwrap_err())).await?)
    }
    #[disconnect]
    async fn second(reason: aiows::DisconnectReason, State(log): State<Log>) {
        log.0.send(format!("second {reason}")).await.unwrap();
    }
    let (log, mut lines) = mpsc::channel(8);
    let server = TestServer::new(Router::new().routes(routes![first, second]).state(Log(log)));
    server.connect().await.close(4001, "enough").await;
    assert_eq!(lines.recv().await.unwrap(), "first true the connection is closed");
    assert_eq!(lines.recv().await.unwrap(), "second closed by peer (4001): enough");
}

#[tokio::test(start_paused = true)]
async fn the_server_sends_nothing_on_an_idle_connection() {
    let server = TestServer::new(Router::new().routes(routes![count]));
    let mut client = server.connect().await;
    client.expect_silence(Duration::from_secs(600)).await;
    client.send(&Count { number: 3 }).await;
    assert_eq!(client.recv::<Count>().await, Count { number: 3 });
}

#[tokio::test]
async fn a_handler_is_still_a_function() {
    assert_eq!(count(Count { number: 5 }).await, Count { number: 5 });
}

#[tokio::test]
async fn a_handler_may_return_an_outcome_that_it_has_encoded_itself() {
    let route = Route::message("count", async |call: Call| -> aiows::Result<Outcome> {
        match call.payload::<Count>()? {
            Count { number: 0 } => ().into_outcome(&call),
            count => count.into_outcome(&call),
        }
    });
    let server = TestServer::new(Router::new().route(route));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"count","id":1,"number":7}"#).await;
    let answer = json!({ "type": "count", "correlation_id": 1, "number": 7 });
    assert_eq!(client.recv_json().await, answer);
    client.send_text(r#"{"type":"count","id":2,"number":0}"#).await;
    assert_eq!(client.recv_json().await, json!({ "type": "ack", "correlation_id": 2 }));
}

#[tokio::test]
async fn a_handler_that_decodes_no_payload_is_not_called_for_a_malformed_message() {
    #[message("bare")]
    async fn bare(State(calls): State<Arc<AtomicUsize>>) {
        calls.fetch_add(1, Ordering::Relaxed);
    }
    let calls = Arc::<AtomicUsize>::default();
    let server = TestServer::new(Router::new().routes(routes![bare]).state(Arc::clone(&calls)));
    let mut client = server.connect().await;
    for (text, code) in [
        (r#"{"type":"bare","id":1"#, "invalid_json"),
        (r#"{"type":"bare","a":}"#, "invalid_json"),
        (r#"{"type":"bare","id":[]}"#, "invalid_message"),
    ] {
        client.send_text(text).await;
        assert_eq!(client.recv_json().await["code"], code, "{text}");
        assert_eq!(calls.load(Ordering::Relaxed), 0, "{text}");
    }
    client.send_text(r#"{"type":"bare","id":1}"#).await;
    assert_eq!(client.recv_json().await, json!({ "type": "ack", "correlation_id": 1 }));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
