//! Requests before the 101: panics of application code, tasks of refused room checks, forms of the
//! request target, and refused clients that stay connected.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::{Handshake, Middleware};
use aiows::routing::Route;
use aiows::{HandlerError, Path, Query, Result, Router, Server, WebSocket, connect, routes};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw, echo_server, limits};

/// The longest that an expected event may take.
const TIMEOUT: Duration = Duration::from_secs(10);

fn request_for(target: &str) -> String {
    REQUEST.replace("GET / ", &format!("GET {target} "))
}

fn panics() -> ! {
    // Unlike `panic!`, this prints no message to the standard error.
    std::panic::resume_unwind(Box::new("no luck"))
}

/// Expects a 500 with the code `internal`, an error id and no details.
async fn expect_internal(raw: &mut Raw) {
    let (status, _, body) = raw.read_answer().await;
    assert_eq!(status, 500, "{body}");
    let error = &serde_json::from_str::<Value>(&body).unwrap()["error"];
    assert_eq!(error["code"], "internal", "{body}");
    assert_eq!(error["error_id"].as_str().map(str::len), Some(16), "{body}");
    assert!(!body.contains("no luck"), "{body}");
}

/// Sends a message when it is dropped.
struct Guard(mpsc::Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Returns a server that joins clients to the room in the path. Its room check spawns a task that
/// never ends, then runs `then`. The receiver gets a message when the task is dropped.
fn checked<Fut>(
    then: impl Fn(WebSocket) -> Fut + Send + Sync + Clone + 'static,
) -> (Server, mpsc::Receiver<()>)
where
    Fut: Future<Output = Result> + Send + 'static,
{
    let (dropped, drops) = mpsc::channel(8);
    let check = move |_: String, ws: WebSocket| {
        let (guard, then) = (Guard(dropped.clone()), then.clone());
        async move {
            let handle = ws.clone();
            ws.spawn(async move {
                let _held = (guard, handle);
                std::future::pending::<()>().await;
            });
            then(ws).await
        }
    };
    let router = Router::new().join_from_path("room");
    (Server::new().route("/rooms/{room}", router).check_rooms(check), drops)
}

async fn expect_drop(drops: &mut mpsc::Receiver<()>) {
    timeout(TIMEOUT, drops.recv()).await.expect("the task ends").unwrap();
}

#[tokio::test]
async fn tasks_spawned_by_a_room_check_end_when_it_refuses() {
    let (kept, mut handles) = mpsc::channel(8);
    let (server, mut drops) = checked(move |ws: WebSocket| {
        let kept = kept.clone();
        async move {
            kept.send(ws).await?;
            Err(HandlerError::new("full", "the room is full"))
        }
    });
    let server = TestServer::bind(server).await;
    let mut raw = Raw::dial(&server).await;
    raw.write(request_for("/rooms/a").as_bytes()).await;
    assert_eq!(raw.read_answer().await.0, 403);
    expect_drop(&mut drops).await;
    // A handle that outlives the refusal starts no more tasks.
    let ws = handles.recv().await.unwrap();
    let (again, mut dropped) = mpsc::channel(1);
    let guard = Guard(again);
    ws.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    assert_eq!(dropped.try_recv(), Ok(()));
}

#[tokio::test]
async fn tasks_spawned_by_a_room_check_end_when_it_panics_or_the_server_shuts_down() {
    let (server, mut drops) = checked(async |_| panics());
    let server = TestServer::bind(server).await;
    let mut raw = Raw::dial(&server).await;
    raw.write(request_for("/rooms/a").as_bytes()).await;
    expect_internal(&mut raw.boxed()).await;
    expect_drop(&mut drops).await;
    drop(server);

    let (started, mut starts) = mpsc::channel(1);
    let (server, mut drops) = checked(move |_| {
        let started = started.clone();
        async move {
            started.send(()).await?;
            std::future::pending().await
        }
    });
    let server = TestServer::bind(server).await;
    let mut raw = Raw::dial(&server).await;
    raw.write(request_for("/rooms/a").as_bytes()).await;
    starts.recv().await.unwrap();
    server.handle().shutdown(Duration::from_secs(5));
    assert_eq!(raw.read_answer().await.0, 503);
    expect_drop(&mut drops).await;
}

#[derive(Debug)]
struct Bomb;

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        panics()
    }
}

#[connect]
async fn take_path(_path: Path<Bomb>) {}

#[connect]
async fn take_query(_query: Query<Bomb>) {}

struct Hook;

impl Middleware for Hook {
    async fn on_handshake(&self, _: &Handshake) -> Result {
        panics()
    }
}

struct Reader;

impl Middleware for Reader {
    async fn on_handshake(&self, handshake: &Handshake) -> Result {
        handshake.query::<Bomb>().map(drop)
    }
}

fn panicking() -> Server {
    let started = |room: String, _: WebSocket| {
        if room == "before" {
            panics();
        }
        async move { if room == "within" { panics() } else { Ok::<_, HandlerError>(()) } }
    };
    Server::new()
        .route("/path/{value}", Router::new().routes(routes![take_path]))
        .route("/query", Router::new().routes(routes![take_query]))
        .route("/hook", Router::new().middleware(Hook))
        .route("/reader", Router::new().middleware(Reader))
        .route("/rooms/{room}", Router::new().join_from_path("room"))
        .check_rooms(started)
}

const PANICKING: [&str; 6] =
    ["/path/1", "/query?a=1", "/hook", "/reader", "/rooms/before", "/rooms/within"];

#[tokio::test]
async fn a_panic_during_the_handshake_is_answered_with_500_and_counted() {
    over_both(panicking, async |server| {
        for target in PANICKING {
            let mut raw = Raw::reach(&server).await;
            raw.write(request_for(target).as_bytes()).await;
            expect_internal(&mut raw).await;
        }
        assert_eq!(server.handle().stats().rejected, PANICKING.len() as u64);
        // The refused requests no longer count as connections.
        let mut raw = Raw::reach(&server).await;
        raw.write(request_for("/rooms/calm").as_bytes()).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    })
    .await;
}

#[tokio::test]
async fn bare_line_feeds_in_a_request_head_are_answered_with_400() {
    over_both(echo_server, async |server| {
        for request in [
            REQUEST.replace("\r\n", "\n"),
            REQUEST.replacen("\r\n", "\n", 1),
            REQUEST.replace("localhost\r\n", "localhost\n"),
            REQUEST.replace("\r\n\r\n", "\r\n\n"),
            "\n".to_owned() + REQUEST,
        ] {
            let mut raw = Raw::reach(&server).await;
            raw.write(request.as_bytes()).await;
            let (status, _, body) = raw.read_answer().await;
            assert_eq!(status, 400, "{request:?}");
            assert!(body.contains(r#""code":"bad_request""#), "{body}");
        }
    })
    .await;
}

#[connect]
async fn report_target(
    Path(room): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Value {
    serde_json::json!({ "room": room, "query": query })
}

fn rooms() -> Server {
    Server::new().route("/rooms/{room}", Router::new().routes(routes![report_target]))
}

#[tokio::test]
async fn a_request_target_in_absolute_form_reaches_the_router_of_its_path() {
    over_both(rooms, async |server| {
        for start in
            ["http://localhost", "HTTPS://Localhost:443", "ws://localhost:80", "wss://[::1]"]
        {
            let mut raw = Raw::reach(&server).await;
            raw.write(request_for(&format!("{start}/rooms/a?b=c")).as_bytes()).await;
            assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "), "{start}");
            raw.expect_text(r#"{"query":{"b":"c"},"room":"a"}"#).await;
        }
        for (target, status) in [
            ("http://localhost/other", 404),
            ("http://localhost", 404),
            ("http://localhost?b=c", 404),
        ] {
            let mut raw = Raw::reach(&server).await;
            raw.write(request_for(target).as_bytes()).await;
            assert_eq!(raw.read_answer().await.0, status, "{target}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_target_that_get_does_not_allow_is_answered_with_400() {
    over_both(echo_server, async |server| {
        for target in [
            "*",
            "rooms/a",
            "localhost:80",
            "http://",
            "http:///rooms/a",
            "http://user@localhost/rooms/a",
            "ftp://localhost/rooms/a",
        ] {
            let mut raw = Raw::reach(&server).await;
            raw.write(request_for(target).as_bytes()).await;
            let (status, _, body) = raw.read_answer().await;
            assert_eq!(status, 400, "{target}");
            assert!(body.contains(r#""code":"bad_request""#), "{body}");
        }
        for request in ["OPTIONS *", "CONNECT localhost:80"] {
            let mut raw = Raw::reach(&server).await;
            raw.write(REQUEST.replace("GET /", request).as_bytes()).await;
            assert_eq!(raw.read_answer().await.0, 405, "{request}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_replaces_the_host_header() {
    over_both(echo_server, async |server| {
        let with_origin = |target: &str| {
            let origin = "\r\nOrigin: http://localhost\r\n\r\n";
            request_for(target).replace("\r\n\r\n", origin)
        };
        let mut raw = Raw::reach(&server).await;
        raw.write(with_origin("http://localhost/").as_bytes()).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
        let mut raw = Raw::reach(&server).await;
        raw.write(with_origin("http://elsewhere.example/").as_bytes()).await;
        assert_eq!(raw.read_answer().await.0, 403);
    })
    .await;
}

#[test]
fn an_empty_list_of_origins_is_a_build_error() {
    let error = echo_server().allow_origins([""; 0]).build().unwrap_err();
    let [mistake] = error.mistakes() else { panic!("{error}") };
    assert!(mistake.starts_with("`allow_origins` lists no origin"), "{mistake}");
}

#[tokio::test]
async fn a_refused_client_that_stays_connected_does_not_block_others() {
    let limits = limits(|limits| limits.handshakes = 1);
    let app = echo_server().limits(limits).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(app.clone().serve([listener]));
    let start = Instant::now();
    // No client disconnects. Only one of them may linger, for up to a second.
    let mut staying = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::dial_at(address).await;
        raw.write(b"no request\r\n\r\n").await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 400 "));
        staying.push(raw);
    }
    let mut raw = Raw::dial_at(address).await;
    raw.handshake().await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn handshake_limits_and_retry_after_accept_any_duration() {
    let endless = || {
        let router = Router::new().route(Route::connect(async |_: Call| {}));
        let hook = from_hook(|| Err(HandlerError::new("busy", "later").retry_after(Duration::MAX)));
        Server::new()
            .route("/", router)
            .route("/busy", Router::new().middleware(hook))
            .shutdown_timeout(Duration::MAX)
            .limits(limits(|limits| {
                limits.handshake_timeout = Duration::MAX;
                limits.write_timeout = Duration::MAX;
            }))
    };
    let server = TestServer::new(endless());
    let mut raw = Raw::reach(&server).await;
    raw.write(request_for("/busy").as_bytes()).await;
    let (status, head, _) = raw.read_answer().await;
    assert_eq!(status, 403);
    assert!(head.contains(&format!("Retry-After: {}\r\n", u64::MAX)), "{head}");
    Raw::join(&server).await;
}

struct Refuser<F>(F);

fn from_hook<F: Fn() -> Result + Send + Sync + 'static>(hook: F) -> Refuser<F> {
    Refuser(hook)
}

impl<F: Fn() -> Result + Send + Sync + 'static> Middleware for Refuser<F> {
    async fn on_handshake(&self, _: &Handshake) -> Result {
        (self.0)()
    }
}

#[cfg(feature = "axum")]
mod hosted {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::routing::{any, get};

    use super::*;

    async fn expect_page(raw: &mut Raw) {
        raw.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(raw.read_exactly(6).await, b"a page");
    }

    fn pages() -> axum::Router {
        axum::Router::new()
            .route("/page", get(async || "a page"))
            .route("/panic", any(async |_: Request<Body>| -> &'static str { panics() }))
            .fallback(async |request: Request<Body>| request.uri().path().to_owned())
    }

    #[tokio::test]
    async fn a_panic_in_a_later_handshake_is_answered_with_500_and_counted() {
        over_both(
            || panicking().http(pages()),
            async |server| {
                for target in PANICKING {
                    let mut raw = Raw::reach(&server).await;
                    expect_page(&mut raw).await;
                    raw.write(request_for(target).as_bytes()).await;
                    expect_internal(&mut raw).await;
                }
                assert_eq!(server.handle().stats().rejected, PANICKING.len() as u64);
            },
        )
        .await;
    }

    #[tokio::test]
    async fn a_panicking_page_is_answered_with_500_and_its_connection_stays_open() {
        over_both(
            || echo_server().http(pages()),
            async |server| {
                for first in [false, true] {
                    let mut raw = Raw::reach(&server).await;
                    if !first {
                        expect_page(&mut raw).await;
                    }
                    raw.write(b"POST /panic HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
                        .await;
                    let head = raw.read_head().await.to_ascii_lowercase();
                    assert!(head.starts_with("http/1.1 500 "), "{head}");
                    assert!(head.contains("content-type: application/json\r\n"), "{head}");
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let body = raw.read_exactly(length.unwrap().parse().unwrap()).await;
                    let error = &serde_json::from_slice::<Value>(&body).unwrap()["error"];
                    assert_eq!(error["code"], "internal");
                    assert_eq!(error["error_id"].as_str().map(str::len), Some(16));
                    expect_page(&mut raw).await;
                }
                // The application has answered, so the server counts no refusal.
                assert_eq!(server.handle().stats().rejected, 0);
            },
        )
        .await;
    }

    #[tokio::test]
    async fn a_later_request_in_absolute_form_reaches_the_router_of_its_path() {
        over_both(
            || rooms().http(pages()),
            async |server| {
                let mut raw = Raw::reach(&server).await;
                expect_page(&mut raw).await;
                raw.write(request_for("http://localhost/rooms/a?b=c").as_bytes()).await;
                assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
                raw.expect_text(r#"{"query":{"b":"c"},"room":"a"}"#).await;

                let foreign = "\r\nOrigin: http://localhost\r\n\r\n";
                for (target, extra, status) in [
                    ("http://localhost", "\r\n\r\n", 404),
                    ("localhost:80", "\r\n\r\n", 404),
                    ("http://elsewhere.example/rooms/a", foreign, 403),
                ] {
                    let mut raw = Raw::reach(&server).await;
                    expect_page(&mut raw).await;
                    let request = request_for(target).replace("\r\n\r\n", extra);
                    raw.write(request.as_bytes()).await;
                    assert_eq!(raw.read_answer().await.0, status, "{target}");
                }
            },
        )
        .await;
    }

    #[tokio::test]
    async fn a_client_may_request_a_page_with_any_form_of_target() {
        over_both(
            || echo_server().http(pages()),
            async |server| {
                for (line, body) in [
                    ("GET http://localhost/page", "a page"),
                    ("GET http://localhost", "/"),
                    ("OPTIONS *", "*"),
                ] {
                    let mut raw = Raw::reach(&server).await;
                    let request =
                        format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                    raw.write(request.as_bytes()).await;
                    let (status, _, answered) = raw.read_answer().await;
                    assert_eq!((status, answered.as_str()), (200, body), "{line}");
                }
            },
        )
        .await;
    }

    /// Mounts the service in an axum application, and returns the address of both.
    async fn host(sockets: aiows::server::WebSocketService) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let application = axum::Router::new().fallback_service(sockets);
        tokio::spawn(axum::serve(listener, application).into_future());
        address
    }

    #[tokio::test]
    async fn a_panic_in_a_mounted_handshake_is_answered_with_500_and_counted() {
        let sockets = panicking().build().unwrap().into_service();
        let address = host(sockets.clone()).await;
        for target in PANICKING {
            let mut raw = Raw::dial_at(address).await.boxed();
            raw.write(request_for(target).as_bytes()).await;
            raw.finish().await;
            expect_internal(&mut raw).await;
        }
        assert_eq!(sockets.handle().stats().rejected, PANICKING.len() as u64);
    }

    #[connect]
    async fn report_address(ws: WebSocket) -> Value {
        serde_json::json!({ "address": ws.peer_addr() })
    }

    #[tokio::test]
    async fn a_mounted_server_that_joins_the_room_in_the_path_knows_client_addresses() {
        let router = Router::new().routes(routes![report_address]).join_from_path("room");
        let sockets = Server::new().route("/rooms/{room}", router).build().unwrap().into_service();
        let address = host(sockets).await;
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let local: SocketAddr = stream.local_addr().unwrap();
        let mut raw = Raw::over(stream);
        raw.write(request_for("/rooms/a").as_bytes()).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(raw.read_json().await["address"], local.to_string());
    }
}
