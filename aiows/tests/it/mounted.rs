//! `WebSocketService` as a route of an axum application with a server of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aiows::extract::Extension;
use aiows::server::WebSocketService;
use aiows::{
    Context, DisconnectReason, HandlerError, Router, Server, WebSocket, connect, message, routes,
};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::kit::{TestServer, wrapped};
use crate::http::expect_spelled_as_in_the_rfc;
use crate::raw::{REQUEST, Raw, close_payload, echo_server, ends, limits, masked};

fn application(sockets: WebSocketService) -> axum::Router {
    axum::Router::new().route("/page", get(async || "a page")).route_service("/ws", sockets)
}

fn service(server: Server) -> WebSocketService {
    wrapped(server).build().unwrap().into_service()
}

/// Serves on a port, as an application does; the server ends with the test.
async fn serve(sockets: WebSocketService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, application(sockets)).into_future());
    address
}

async fn dial(address: SocketAddr) -> Raw {
    Raw::over(Box::new(TcpStream::connect(address).await.unwrap()))
}

fn request() -> String {
    REQUEST.replace("GET / ", "GET /ws ")
}

async fn open(address: SocketAddr) -> Raw {
    let mut raw = dial(address).await;
    raw.write(request().as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    raw
}

/// Sends a request, ends the write side, and returns the status and the body of the response.
async fn refused(address: SocketAddr, request: &str) -> (u16, String) {
    let mut raw = dial(address).await;
    raw.write(request.as_bytes()).await;
    raw.finish().await;
    let (status, _, body) = raw.read_answer().await;
    (status, body)
}

#[connect]
async fn send_whether_address_is_known(ws: WebSocket) -> aiows::Result {
    Ok(ws.send_text(&ws.peer_addr().is_some().to_string()).await?)
}

#[tokio::test]
async fn a_mounted_server_echoes_and_knows_the_client_address() {
    let sockets = service(
        echo_server().include_router(Router::new().routes(routes![send_whether_address_is_known])),
    );
    let address = serve(sockets.clone()).await;
    let mut raw = dial(address).await;
    raw.write(&[request().as_bytes(), &masked(0x81, b"first")].concat()).await;
    expect_spelled_as_in_the_rfc(&raw.read_head().await);
    raw.expect_text("true").await;
    raw.expect_text("first").await;
    raw.send_text("second").await;
    raw.expect_text("second").await;
    assert_eq!(sockets.handle().stats().active, 1);
}

#[tokio::test]
async fn a_mounted_server_applies_the_same_handshake_checks() {
    let limits = limits(|limits| limits.connections = 1);
    let sockets = service(echo_server().limits(limits));
    let address = serve(sockets.clone()).await;
    let plain = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (status, body) = refused(address, plain).await;
    assert_eq!(status, 426);
    assert!(body.contains(r#""code":"upgrade_required""#), "{body}");
    let foreign = "\r\nOrigin: https://evil.example\r\n\r\n";
    assert_eq!(refused(address, &request().replace("\r\n\r\n", foreign)).await.0, 403);
    let _only = open(address).await;
    assert_eq!(refused(address, &request()).await.0, 503);
    assert_eq!(sockets.handle().stats().rejected, 3);
    let page = plain.replace("/ws", "/page");
    assert_eq!(refused(address, &page).await, (200, "a page".to_owned()));
}

#[tokio::test]
async fn a_mounted_server_matches_its_own_paths() {
    let address = serve(service(Server::new().route("/elsewhere", Router::new()))).await;
    assert_eq!(refused(address, &request()).await.0, 404);
}

#[tokio::test]
async fn the_handle_of_a_mounted_server_stops_it() {
    let (ends, ended) = ends();
    let sockets = service(ends.server());
    let mut raw = open(serve(sockets.clone()).await).await;
    raw.send_text("hi").await;
    raw.expect_text("hi").await;
    assert_eq!(sockets.handle().ready().await, []);
    assert!(sockets.handle().is_ready());
    sockets.handle().shutdown(Duration::from_secs(5));
    assert!(!sockets.handle().is_ready());
    // The handle closes connections before `stopped` is awaited.
    raw.read_close(1001).await;
    raw.send(0x88, &close_payload(1001, "")).await;
    sockets.stopped().await.unwrap();
    assert_eq!(sockets.handle().stats().active, 0);
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

/// A listener of another kind: it yields connections in memory.
struct Streams(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Streams {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_mounted_server_accepts_any_stream_type_of_its_host() {
    let (streams, listener) = mpsc::channel(1);
    let application = application(service(echo_server()));
    tokio::spawn(axum::serve(Streams(listener), application).into_future());
    let (client, server) = tokio::io::duplex(64 * 1024);
    streams.send(server).await.unwrap();
    let mut raw = Raw::over(client);
    raw.write(&[request().as_bytes(), &masked(0x81, b"first")].concat()).await;
    expect_spelled_as_in_the_rfc(&raw.read_head().await);
    raw.expect_text("first").await;
    raw.send_text("second").await;
    raw.expect_text("second").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_101_does_not_force_a_stop() {
    let (streams, listener) = mpsc::channel(1);
    let sockets = service(echo_server());
    tokio::spawn(axum::serve(Streams(listener), application(sockets.clone())).into_future());
    // The buffer is smaller than the response.
    let (client, server) = tokio::io::duplex(16);
    streams.send(server).await.unwrap();
    let mut raw = Raw::over(client);
    raw.write(request().as_bytes()).await;
    raw.await_frame().await;
    let stopped = tokio::spawn(async move {
        drop(sockets.handle().shutdown(Duration::from_secs(4)));
        sockets.stopped().await
    });
    let stopped = stopped.await.unwrap();
    assert!(stopped.is_ok(), "{stopped:?}");
}

#[tokio::test]
async fn a_socket_outlives_the_application_of_its_host_and_is_closed_by_a_stop() {
    let (ends, ended) = ends();
    let sockets = service(ends.server());
    let handle = sockets.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let host = axum::serve(listener, application(sockets));
    let host = host.with_graceful_shutdown(async { drop(stopped.await) });
    let host = tokio::spawn(host.into_future());
    let mut raw = open(address).await;
    stop.send(()).unwrap();
    host.await.unwrap().unwrap();
    // Only the session holds the service now.
    raw.send_text("hi").await;
    raw.expect_text("hi").await;
    assert!(!handle.is_shutting_down());
    let stopped = tokio::spawn({
        let handle = handle.clone();
        async move { handle.shutdown(Duration::from_secs(60)).await }
    });
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    raw.send_close(1001, "").await;
    stopped.await.unwrap();
    assert_eq!(handle.stats().active, 0);
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

#[tokio::test]
async fn a_nested_service_sees_the_path_as_it_was_sent() {
    struct Paths(mpsc::Sender<String>);
    impl aiows::middleware::Middleware for Paths {
        async fn on_handshake(&self, handshake: &aiows::middleware::Handshake) -> aiows::Result {
            self.0.send(handshake.path().to_owned()).await?;
            Ok(())
        }
    }
    let (paths, mut seen) = mpsc::channel(4);
    let router = Router::new().middleware(Paths(paths));
    let sockets = service(Server::new().route("/rooms/{room}", router));
    let application = axum::Router::new().nest_service("/api", sockets);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, application).into_future());
    let mut raw = dial(address).await;
    raw.write(REQUEST.replace("GET / ", "GET /api/rooms/a%20b?x=1 ").as_bytes()).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(seen.recv().await.unwrap(), "/api/rooms/a%20b");
}

/// Waits until this is the only reference to the value.
async fn wait_until_freed<T>(value: &Arc<T>, case: &str) {
    let freed = async {
        while Arc::strong_count(value) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let freed = tokio::time::timeout(Duration::from_secs(5), freed).await;
    assert!(freed.is_ok(), "{case}: {} other references", Arc::strong_count(value) - 1);
}

#[tokio::test]
async fn a_dropped_service_frees_its_application_and_its_state() {
    let (state, page) = (Arc::new("state"), Arc::new("page"));
    let service = || {
        let held = Arc::clone(&page);
        let page = get(move || async move { *held });
        let router =
            Router::new().routes(routes![send_whether_address_is_known]).state(Arc::clone(&state));
        service(Server::from(router).http(axum::Router::new().route("/", page)))
    };
    let freed = async |case| {
        wait_until_freed(&state, case).await;
        wait_until_freed(&page, case).await;
    };
    drop(service());
    freed("never served").await;
    for leaves_first in [true, false] {
        let sockets = service();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let application = application(sockets.clone());
        let host = tokio::spawn(axum::serve(listener, application).into_future());
        let plain = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert_eq!(refused(address, plain).await.0, 426);
        let mut raw = open(address).await;
        raw.expect_text("true").await;
        if leaves_first {
            raw.send_close(1000, "").await;
            raw.read_close(1000).await;
        }
        host.abort();
        drop(sockets);
        if leaves_first {
            freed("its client has left").await;
        }
        drop(raw);
        freed("its client leaves later").await;
    }
}

#[tokio::test]
async fn a_stopped_service_frees_its_application_and_its_state() {
    let state = Arc::new("state");
    let router =
        Router::new().routes(routes![send_whether_address_is_known]).state(Arc::clone(&state));
    let sockets = service(Server::from(router));
    let handle = sockets.handle().clone();
    handle.shutdown(Duration::from_secs(5)).await;
    sockets.stopped().await.unwrap();
    drop(sockets);
    wait_until_freed(&state, "its handle is left").await;
    drop(handle);
}

/// A user that the session layer of the host looks up for a request.
#[derive(Clone, Debug, PartialEq)]
struct User(String);

#[derive(Clone)]
struct Unknown;

/// A session layer that looks up the user of a cookie.
async fn session(mut request: Request, next: Next) -> Response {
    let cookie = request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok());
    let user = cookie.and_then(|cookie| cookie.strip_prefix("session=")).map(str::to_owned);
    if let Some(user) = user {
        request.extensions_mut().insert(User(user));
    }
    next.run(request).await
}

async fn serve_with_sessions(server: Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let application = application(service(server)).layer(from_fn(session));
    tokio::spawn(axum::serve(listener, application).into_future());
    address
}

fn with_cookie(cookie: &str) -> String {
    request().replace("\r\n\r\n", &format!("\r\nCookie: {cookie}\r\n\r\n"))
}

#[tokio::test]
async fn extensions_added_by_layers_of_the_host_reach_the_handlers() {
    #[connect]
    async fn greet(Extension(user): Extension<User>) -> Value {
        json!({ "hello": user.0 })
    }
    #[message("who")]
    async fn who(
        Extension(user): Extension<User>,
        again: Option<Extension<User>>,
        unknown: Option<Extension<Unknown>>,
    ) -> Value {
        assert_eq!(again, Some(Extension(user.clone())));
        json!({ "who": user.0, "unknown": unknown.is_some() })
    }
    let router = Router::new().routes(routes![greet, who]);
    let address = serve_with_sessions(router.into()).await;
    let mut raw = dial(address).await;
    raw.write(with_cookie("session=ann").as_bytes()).await;
    raw.read_head().await;
    assert_eq!(raw.read_json().await, json!({ "hello": "ann" }));
    raw.send_text(r#"{"type":"who"}"#).await;
    assert_eq!(raw.read_json().await, json!({ "who": "ann", "unknown": false }));
    // The session layer lets requests without a session through.
    let mut raw = open(address).await;
    let reason = raw.read_close(1011).await;
    assert!(reason.starts_with("Internal error ") && !reason.contains("User"), "{reason}");
}

#[tokio::test]
async fn a_message_handler_without_its_extension_fails_without_closing_the_connection() {
    #[message("who")]
    async fn who(Extension(user): Extension<User>) -> Value {
        json!({ "who": user.0 })
    }
    #[message("ping")]
    async fn ping() -> Value {
        json!({ "pong": true })
    }
    let router = || Router::new().routes(routes![who, ping]);
    let mounted = dial(serve_with_sessions(router().into()).await).await;
    let own = TestServer::new(router());
    for (mut raw, request) in [(mounted, request()), (Raw::reach(&own).await, REQUEST.to_owned())] {
        raw.write(request.as_bytes()).await;
        raw.read_head().await;
        raw.send_text(r#"{"type":"who"}"#).await;
        assert_eq!(raw.read_json().await["code"], "internal");
        raw.send_text(r#"{"type":"ping"}"#).await;
        assert_eq!(raw.read_json().await, json!({ "pong": true }));
    }
}

#[tokio::test]
async fn middleware_reads_the_extensions_of_a_request() {
    struct Guard;
    impl aiows::middleware::Middleware for Guard {
        async fn on_handshake(&self, handshake: &aiows::middleware::Handshake) -> aiows::Result {
            let user = handshake.extensions().get::<User>().cloned();
            let user =
                user.ok_or_else(|| HandlerError::new("no_session", "sign in").status(401))?;
            handshake.context().insert(user);
            Ok(())
        }
    }
    #[connect]
    async fn greet(Context(user): Context<User>, Extension(same): Extension<User>) -> Value {
        assert_eq!(user, same);
        json!({ "hello": user.0 })
    }
    let router = || Router::new().middleware(Guard).routes(routes![greet]);
    let address = serve_with_sessions(router().into()).await;
    let mut raw = dial(address).await;
    raw.write(with_cookie("session=ann").as_bytes()).await;
    raw.read_head().await;
    assert_eq!(raw.read_json().await, json!({ "hello": "ann" }));
    assert_eq!(refused(address, &request()).await.0, 401);
    // A request on the server's own port has no extensions.
    let own = TestServer::new(router());
    assert_eq!(own.try_connect("/", &[("Cookie", "session=ann")]).await.unwrap_err().status, 401);
}

#[tokio::test]
async fn an_extension_that_no_handler_takes_is_not_kept() {
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let sockets = service(Router::new().routes(routes![send_whether_address_is_known]).into());
    let layer = axum::Extension(Held(kept));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let host = axum::serve(listener, application(sockets).layer(layer));
    let host = host.with_graceful_shutdown(async { drop(stopped.await) });
    let host = tokio::spawn(host.into_future());
    let mut raw = open(address).await;
    raw.expect_text("true").await;
    stop.send(()).unwrap();
    host.await.unwrap().unwrap();
    wait_until_freed(&held, "the connection is open").await;
    drop(raw);
}

#[derive(Clone)]
struct Held(#[expect(dead_code, reason = "only counted")] Arc<()>);
