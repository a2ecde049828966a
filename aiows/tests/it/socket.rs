//! The uses of a connection in a handler: replies, waiting for its end, and spawned tasks.

use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::testing::socket;
use aiows::{
    DisconnectReason, Message, MessageId, Result, Router, Server, State, WebSocket, connect,
    disconnect, message, routes,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::kit::{TestServer, over_both};
use crate::raw::Raw;

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Row {
    number: u32,
}

#[message("rows")]
async fn rows(ws: WebSocket, id: MessageId) -> Result {
    ws.reply(&id, &Row { number: 1 }).await?;
    ws.reply(&id, &Row { number: 2 }).await?;
    Ok(())
}

#[message("first")]
async fn first(ws: WebSocket, id: MessageId) -> Result<Row> {
    ws.reply(&id, &Row { number: 1 }).await?;
    Ok(Row { number: 2 })
}

#[message("other")]
async fn other(ws: WebSocket) -> Result {
    Ok(ws.reply(&"other".into(), &Row { number: 3 }).await?)
}

#[message("silent")]
async fn silent() {}

#[tokio::test]
async fn a_reply_has_the_correlation_id_and_replaces_the_acknowledgement() {
    over_both(
        || Router::new().routes(routes![rows, first, other, silent]).into(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            for (request, answers) in [
                (
                    r#"{"type":"rows","id":"a"}"#,
                    vec![
                        r#"{"type":"row","correlation_id":"a","number":1}"#,
                        r#"{"type":"row","correlation_id":"a","number":2}"#,
                    ],
                ),
                (
                    r#"{"type":"first","id":2}"#,
                    vec![
                        r#"{"type":"row","correlation_id":2,"number":1}"#,
                        r#"{"type":"row","correlation_id":2,"number":2}"#,
                    ],
                ),
                (
                    r#"{"type":"other","id":3}"#,
                    vec![
                        r#"{"type":"row","correlation_id":"other","number":3}"#,
                        r#"{"type":"ack","correlation_id":3}"#,
                    ],
                ),
                // A reply to one message does not replace the acknowledgement of the next one with
                // the same id.
                (r#"{"type":"silent","id":"a"}"#, vec![r#"{"type":"ack","correlation_id":"a"}"#]),
            ] {
                raw.send_text(request).await;
                for answer in answers {
                    raw.expect_text(answer).await;
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_reply_from_a_task_after_the_handler_follows_the_acknowledgement() {
    #[message("later")]
    async fn later(ws: WebSocket, id: MessageId, State(go): State<mpsc::Sender<mpsc::Sender<()>>>) {
        let (send, mut wait) = mpsc::channel(1);
        go.send(send).await.unwrap();
        ws.clone().spawn(async move {
            wait.recv().await;
            ws.reply(&id, &Row { number: 9 }).await.unwrap();
        });
    }
    let (go, mut goes) = mpsc::channel::<mpsc::Sender<()>>(1);
    let server = TestServer::new(Router::new().routes(routes![later, silent]).state(go));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"later","id":1}"#).await;
    assert_eq!(client.recv_json().await, json!({ "type": "ack", "correlation_id": 1 }));
    goes.recv().await.unwrap().send(()).await.unwrap();
    let row = json!({ "type": "row", "correlation_id": 1, "number": 9 });
    assert_eq!(client.recv_json().await, row);
    client.send_text(r#"{"type":"silent","id":1}"#).await;
    assert_eq!(client.recv_json().await, json!({ "type": "ack", "correlation_id": 1 }));
}

#[tokio::test]
async fn closed_resolves_when_the_socket_is_closed() {
    let (ws, _sent) = socket();
    assert_eq!(ws.closed().now_or_never(), None);
    let (early, other) = (ws.clone(), ws.clone());
    let waiting = tokio::spawn(async move { early.closed().await });
    tokio::task::yield_now().await;
    other.close(1000, "");
    timeout(Duration::from_secs(5), waiting).await.expect("the end").unwrap();
    assert_eq!(ws.closed().now_or_never(), Some(()));
}

/// A handler that does not return before its connection ends.
#[message("watch")]
async fn watch(ws: WebSocket) -> Result<Value> {
    ws.send_text("watching").await?;
    ws.closed().await;
    Ok(json!({ "open": !ws.is_closed() }))
}

#[disconnect]
async fn report(State(ends): State<mpsc::Sender<DisconnectReason>>, reason: DisconnectReason) {
    ends.send(reason).await.unwrap();
}

fn watching() -> (Server, mpsc::Receiver<DisconnectReason>) {
    let (ends, ended) = mpsc::channel(1);
    (Router::new().routes(routes![watch, report]).state(ends).into(), ended)
}

#[tokio::test]
async fn closed_resolves_in_a_pending_handler_when_its_client_leaves_and_its_answer_is_still_sent()
{
    over_both(
        || Router::new().routes(routes![watch]).into(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"watch"}"#).await;
            raw.expect_text("watching").await;
            raw.send_close(1000, "").await;
            raw.expect_text(r#"{"open":true}"#).await;
            assert_eq!(raw.read_close(1000).await, "");
            raw.expect_end().await;
        },
    )
    .await;
}

#[tokio::test]
async fn closed_resolves_in_a_pending_handler_when_the_server_stops() {
    let (server, mut ended) = watching();
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"watch","id":1}"#).await;
    assert_eq!(client.recv_text().await, "watching");
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(60)));
    assert_eq!(client.recv_json().await, json!({ "correlation_id": 1, "open": true }));
    assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    stopped.await.unwrap().unwrap();
    assert_eq!(ended.recv().await, Some(DisconnectReason::Shutdown));
}

#[tokio::test]
async fn closed_resolves_in_a_pending_handler_when_the_stream_is_reset() {
    let (server, mut ended) = watching();
    let server = TestServer::bind(server).await;
    let mut raw = Raw::open(&server).await;
    raw.send_text(r#"{"type":"watch"}"#).await;
    raw.expect_text("watching").await;
    raw.reset();
    let reason = timeout(Duration::from_secs(5), ended.recv()).await.expect("an end");
    assert_eq!(reason, Some(DisconnectReason::Peer { code: None, reason: String::new() }));
}

/// Reports when it is dropped.
struct Guard(mpsc::Sender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.try_send("dropped").unwrap();
    }
}

#[tokio::test]
async fn spawned_tasks_run_concurrently_with_handlers_and_end_before_the_disconnect_handlers() {
    #[connect]
    async fn arrive(ws: WebSocket, State(log): State<mpsc::Sender<&'static str>>) {
        let (peer, guard) = (ws.clone(), Guard(log));
        ws.spawn(async move {
            let _guard = guard;
            peer.send(&Row { number: 1 }).await.unwrap();
            std::future::pending::<()>().await;
        });
    }
    #[disconnect]
    async fn leave(ws: WebSocket, State(log): State<mpsc::Sender<&'static str>>) {
        log.send("left").await.unwrap();
        let late = Guard(log);
        ws.spawn(async move {
            late.0.send("started").await.unwrap();
        });
    }
    let (log, logged) = mpsc::channel(8);
    let logged = tokio::sync::Mutex::new(logged);
    over_both(
        || Router::new().routes(routes![arrive, leave, silent]).state(log.clone()).into(),
        async |server| {
            let mut client = server.connect().await;
            assert_eq!(client.recv::<Row>().await, Row { number: 1 });
            client.send_text(r#"{"type":"silent","id":1}"#).await;
            assert_eq!(client.recv_json().await, json!({ "type": "ack", "correlation_id": 1 }));
            client.close(1000, "").await;
            for expected in ["dropped", "left", "dropped"] {
                assert_eq!(logged.lock().await.recv().await, Some(expected));
            }
            server.shutdown(Duration::from_secs(5)).await.unwrap();
            assert!(logged.lock().await.try_recv().is_err());
        },
    )
    .await;
}

#[tokio::test]
async fn a_panic_in_a_spawned_task_ends_only_that_task() {
    let begin = Route::message("begin", |call: Call| async move {
        let ws = call.websocket().clone();
        ws.spawn(async { panic!("no luck") });
        let peer = ws.clone();
        ws.spawn(async move { peer.send(&Row { number: 2 }).await.unwrap() });
    });
    let server = TestServer::new(Router::new().route(begin));
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send_text(r#"{"type":"begin"}"#).await;
        assert_eq!(client.recv::<Row>().await, Row { number: 2 });
    }
    client.close(1000, "").await;
}
