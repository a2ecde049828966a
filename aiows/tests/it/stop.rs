//! Stopping: every connection is told, every disconnect handler runs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aiows::{
    Call, DisconnectReason, HandlerError, Route, Router, Server, ServerHandle, State, disconnect,
    message, routes,
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::kit::TestServer;

type Reasons = mpsc::Sender<DisconnectReason>;

#[disconnect]
async fn report(reason: DisconnectReason, State(reasons): State<Reasons>) {
    reasons.send(reason).await.unwrap();
}

#[tokio::test]
async fn every_client_gets_1001_and_every_disconnect_handler_runs_once() {
    let (reasons, mut ends) = mpsc::channel(200);
    let server = TestServer::bind(Router::new().routes(routes![report]).state(reasons)).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(server.connect().await);
    }
    let handle = server.handle().clone();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    for client in &mut clients {
        assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    }
    stopped.await.unwrap().unwrap();
    assert!(handle.is_shutting_down());
    let stats = handle.stats();
    assert_eq!((stats.active, stats.total), (0, 50));
    for _ in 0..50 {
        assert_eq!(ends.recv().await, Some(DisconnectReason::Shutdown));
    }
    drop(handle);
    assert_eq!(ends.try_recv().ok(), None);
}

#[tokio::test]
async fn a_handler_in_flight_is_answered_before_the_connection_closes() {
    let (started, mut starts) = mpsc::channel::<oneshot::Sender<()>>(1);
    let work = Route::message("work", move |_: Call| {
        let started = started.clone();
        async move {
            let (go, gone) = oneshot::channel();
            started.send(go).await?;
            gone.await?;
            Ok::<_, HandlerError>(json!({ "done": true }))
        }
    });
    let server = TestServer::bind(Router::new().route(work)).await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"work"}"#).await;
    let go = starts.recv().await.unwrap();
    let handle = server.handle().clone();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    while !handle.is_shutting_down() {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    assert_eq!(client.recv_json().await, json!({ "done": true }));
    assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_that_never_returns_is_cut_at_the_deadline() {
    let (started, mut starts) = mpsc::channel(1);
    let hang = Route::message("hang", move |_: Call| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let (reasons, mut ends) = mpsc::channel(4);
    let router = Router::new().route(hang).routes(routes![report]).state(reasons);
    let server = TestServer::bind(router).await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hang"}"#).await;
    starts.recv().await.unwrap();
    let error = server.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert!(error.is_forced());
    assert_eq!(error.to_string(), "shutdown was forced, connections were cut");
    assert_eq!(ends.recv().await, Some(DisconnectReason::Shutdown));
}

#[tokio::test]
async fn a_handler_can_stop_the_server_it_runs_in() {
    #[message("stop")]
    async fn stop(server: ServerHandle) -> serde_json::Value {
        server.shutdown(Duration::from_secs(5));
        json!({ "stopping": true })
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new().include_router(Router::new().routes(routes![stop]));
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(listener));
    let address = handle.ready().await[0];
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/"), connect(address).await)
            .await
            .unwrap();
    use futures_util::{SinkExt, StreamExt};
    socket.send(r#"{"type":"stop"}"#.into()).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer.to_text().unwrap(), r#"{"stopping":true}"#);
    let close = socket.next().await.unwrap().unwrap();
    assert!(close.is_close(), "{close:?}");
    while socket.next().await.is_some() {}
    serving.await.unwrap().unwrap();
}

async fn connect(address: std::net::SocketAddr) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(address).await.unwrap()
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::from(Router::new()).run(&address).await.unwrap_err();
    let error = error.downcast_ref::<aiows::Error>().unwrap();
    assert!(error.is_bind() && error.is_io());
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
}

#[tokio::test]
async fn a_handler_that_blocks_the_stop_is_waited_for_only_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let slow = Route::disconnect(move |_: Call| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { std::future::pending::<()>().await }
    });
    let server = TestServer::bind(Router::new().route(slow)).await;
    let _client = server.connect().await;
    let error = server.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert!(error.is_forced());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
