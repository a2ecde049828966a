//! The lifecycle of a connection: its stages and its end.

use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{
    DisconnectReason, HandlerError, Message, Router, State, WebSocket, connect, disconnect,
    message, routes,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::kit::TestServer;

type Reasons = mpsc::Sender<DisconnectReason>;

#[disconnect(always)]
async fn report(reason: DisconnectReason, State(reasons): State<Reasons>) {
    reasons.send(reason).await.unwrap();
}

#[derive(Message, Serialize)]
struct Hello;

#[message("hello")]
async fn hello() -> Hello {
    Hello
}

#[tokio::test]
async fn a_failed_connect_handler_closes_the_connection_before_any_message_is_handled() {
    #[connect]
    async fn fail() -> aiows::Result {
        Err("no database")?
    }
    #[connect]
    async fn never(ws: WebSocket) -> aiows::Result {
        Ok(ws.send_text("never").await?)
    }
    let (reasons, mut ends) = mpsc::channel::<DisconnectReason>(4);
    let router = Router::new().routes(routes![fail, never, hello, report]).state(reasons);
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hello"}"#).await;
    let reason = client.expect_closed(1011).await;
    let id = reason.strip_prefix("Internal error ").expect("only an id follows");
    assert_eq!(id.len(), 16);
    assert_eq!(ends.recv().await, Some(DisconnectReason::ConnectFailed));
}

#[tokio::test]
async fn a_panic_in_a_connect_handler_closes_the_connection_too() {
    #[connect]
    async fn panics() {
        panic!("no luck");
    }
    let (reasons, mut ends) = mpsc::channel::<DisconnectReason>(4);
    let server = TestServer::new(Router::new().routes(routes![panics, report]).state(reasons));
    assert!(server.connect().await.expect_closed(1011).await.starts_with("Internal error "));
    assert_eq!(ends.recv().await, Some(DisconnectReason::ConnectFailed));
}

#[tokio::test]
async fn a_connect_handler_may_refuse_with_its_own_close_code() {
    #[connect]
    async fn full() -> Result<(), HandlerError> {
        Err(HandlerError::new("room_full", "the room is full").close(4003))
    }
    let server = TestServer::new(Router::new().routes(routes![full]));
    let mut client = server.connect().await;
    let expected = json!({ "type": "error", "code": "room_full", "message": "the room is full" });
    assert_eq!(client.recv_json().await, expected);
    assert_eq!(client.expect_closed(4003).await, "the room is full");
}

#[tokio::test]
async fn messages_wait_for_the_connect_handlers() {
    let (release, released) = oneshot::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let slow = Route::connect(move |_: Call| {
        let released = released.lock().unwrap().take();
        async move {
            released.unwrap().await.unwrap();
            json!({ "connected": true })
        }
    });
    let server = TestServer::new(Router::new().route(slow).routes(routes![hello]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hello"}"#).await;
    release.send(()).unwrap();
    assert_eq!(client.recv_json().await, json!({ "connected": true }));
    assert_eq!(client.recv_json().await, json!({ "type": "hello" }));
}

#[tokio::test]
async fn a_refused_handshake_runs_no_handler() {
    let (reasons, mut ends) = mpsc::channel::<DisconnectReason>(4);
    #[connect]
    async fn greet(State(reasons): State<Reasons>) {
        reasons.send(DisconnectReason::ConnectFailed).await.unwrap();
    }
    let router = Router::new().routes(routes![greet, report]).state(reasons);
    let server = TestServer::new(router);
    let refused = server.try_connect("/", &[("origin", "http://evil.example")]).await.unwrap_err();
    assert_eq!(refused.status, 403);
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(ends.recv().await, None);
}

#[tokio::test]
async fn a_handler_finishes_a_message_that_its_client_sent_before_leaving() {
    let (started, mut starts) = mpsc::channel::<oneshot::Sender<()>>(1);
    let (done, mut finished) = mpsc::channel::<bool>(1);
    let save = Route::message("save", move |call: Call| {
        let (started, done) = (started.clone(), done.clone());
        async move {
            let (release, released) = oneshot::channel();
            started.send(release).await?;
            released.await?;
            done.send(call.websocket().is_closed()).await?;
            Ok::<_, HandlerError>(())
        }
    });
    let (reasons, mut ends) = mpsc::channel::<DisconnectReason>(4);
    let router = Router::new().route(save).routes(routes![report]).state(reasons);
    let server = TestServer::bind(router).await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"save"}"#).await;
    let release = starts.recv().await.unwrap();
    let closing = tokio::spawn(client.close(1000, "done"));
    release.send(()).unwrap();
    assert!(finished.recv().await.is_some());
    closing.await.unwrap();
    let reason = ends.recv().await.unwrap();
    assert_eq!(reason, DisconnectReason::Peer { code: Some(1000.into()), reason: "done".into() });
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_dropped_10_seconds_after_its_client_has_left() {
    struct Dropped(mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.try_send(()).unwrap();
        }
    }
    let (dropped, mut drops) = mpsc::channel(1);
    let (started, mut starts) = mpsc::channel(1);
    let hang = Route::message("hang", move |_: Call| {
        let (guard, started) = (Dropped(dropped.clone()), started.clone());
        async move {
            started.send(()).await.unwrap();
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    let (reasons, mut ends) = mpsc::channel::<DisconnectReason>(4);
    let router = Router::new().route(hang).routes(routes![report]).state(reasons);
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hang"}"#).await;
    starts.recv().await.unwrap();
    let left = tokio::time::Instant::now();
    drop(client);
    drops.recv().await.unwrap();
    assert_eq!(left.elapsed().as_secs(), 10);
    let lost = DisconnectReason::Peer { code: None, reason: String::new() };
    assert_eq!(ends.recv().await, Some(lost));
    assert_eq!(server.handle().stats().active, 0);
}
