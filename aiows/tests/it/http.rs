//! HTTP on the port of the server: an axum application answers all requests without an upgrade.

use std::net::SocketAddr;
use std::time::Duration;

use aiows::{Router, Server, ServerHandle};
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw, close_payload, echo_server, ends, limits, masked};

const PAGE: &str = "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n";
const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\n";

fn application() -> axum::Router {
    axum::Router::new()
        .route("/page", get(async || "a page"))
        .route("/length", post(async |body: String| body.len().to_string()))
}

/// Returns the echo server with an application for pages.
fn server() -> Server {
    echo_server().http(application())
}

/// Reads the status and the body of an answer that other answers may follow.
async fn read_response<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>) -> (u16, String) {
    let head = raw.read_head().await.to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = raw.read_exactly(length.map_or(0, |length| length.parse().unwrap())).await;
    (status, String::from_utf8(body).unwrap())
}

async fn expect_page<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>) {
    raw.write(PAGE.as_bytes()).await;
    assert_eq!(read_response(raw).await, (200, "a page".to_owned()));
}

fn post_of(body: &str) -> String {
    let length = body.len();
    format!("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn the_server_serves_pages_and_websockets_on_one_port() {
    over_both(server, async |server| {
        let mut socket = Raw::join(&server).await;
        expect_page(&mut Raw::reach(&server).await).await;
        socket.send_text("hi").await;
        socket.expect_text("hi").await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    over_both(server, async |server| {
        let mut raw = Raw::reach(&server).await;
        expect_page(&mut raw).await;
        expect_page(&mut raw).await;
        raw.write(post_of("later").as_bytes()).await;
        assert_eq!(read_response(&mut raw).await, (200, "5".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    over_both(server, async |server| {
        let mut raw = Raw::reach(&server).await;
        raw.write([post_of("abc").as_str(), PAGE].concat().as_bytes()).await;
        assert_eq!(read_response(&mut raw).await, (200, "3".to_owned()));
        assert_eq!(read_response(&mut raw).await, (200, "a page".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_body_may_arrive_with_its_head_or_after_it() {
    over_both(server, async |server| {
        let body = "x".repeat(100_000);
        let request = post_of(&body);
        for cut in [request.len(), request.len() - body.len(), 200, 20] {
            let mut raw = Raw::reach(&server).await;
            raw.write(&request.as_bytes()[..cut]).await;
            tokio::task::yield_now().await;
            raw.write(&request.as_bytes()[cut..]).await;
            assert_eq!(read_response(&mut raw).await, (200, "100000".to_owned()), "{cut}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_application_answers_an_unknown_path_with_its_own_404() {
    let server = TestServer::new(server());
    let mut raw = Raw::reach(&server).await;
    raw.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(read_response(&mut raw).await, (404, String::new()));
    // The server does not count an answer of the application as a refusal.
    assert_eq!(server.handle().stats().rejected, 0);
}

#[tokio::test]
async fn the_server_refuses_an_upgrade_under_an_unknown_path() {
    let routes = Server::new().route("/ws", Router::new());
    let server = TestServer::new(routes.http(application()));
    let mut raw = Raw::reach(&server).await;
    raw.write(REQUEST.replace("GET /", "GET /page").as_bytes()).await;
    let (status, _, body) = raw.read_answer().await;
    assert_eq!(status, 404);
    assert!(body.contains(r#""code":"not_found""#), "{body}");
}

#[tokio::test]
async fn a_server_without_an_application_refuses_pages_and_other_methods() {
    let server = TestServer::new(echo_server());
    for (request, expected) in [(PAGE, 426), (&post_of("x"), 405)] {
        let mut raw = Raw::reach(&server).await;
        raw.write(request.as_bytes()).await;
        assert_eq!(raw.read_answer().await.0, expected);
    }
}

/// Checks the names of the headers in a 101. Source: RFC 6455 section 4.2.2.
pub fn expect_spelled_as_in_the_rfc(head: &str) {
    for header in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{header}: {head}");
    }
}

#[tokio::test]
async fn header_names_are_spelled_as_in_the_rfc_on_every_path() {
    let make = || server().subprotocols(["chat.v1"]);
    let request = REQUEST.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n");
    over_both(make, async |server| {
        for is_after_a_page in [false, true] {
            let mut raw = Raw::reach(&server).await;
            if is_after_a_page {
                expect_page(&mut raw).await;
            }
            raw.write(request.as_bytes()).await;
            let head = raw.read_head().await;
            expect_spelled_as_in_the_rfc(&head);
            assert!(head.contains("\r\nSec-WebSocket-Protocol: chat.v1\r\n"), "{head}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_served_a_page_may_become_a_websocket() {
    over_both(server, async |server| {
        let mut raw = Raw::reach(&server).await;
        expect_page(&mut raw).await;
        // The server also handles frames right behind the request.
        raw.write(&[REQUEST.as_bytes(), &masked(0x81, b"first")].concat()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with(UPGRADED), "{head}");
        expect_spelled_as_in_the_rfc(&head);
        raw.expect_text("first").await;
        raw.send_text("second").await;
        raw.expect_text("second").await;
        raw.send(0x88, &close_payload(1000, "")).await;
        raw.read_close(1000).await;
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_later_upgrade_request_passes_the_same_checks() {
    let foreign = "Origin: https://evil.example\r\n\r\n";
    let cases = [
        (REQUEST.replace("\r\n\r\n", &format!("\r\n{foreign}")), 403, "forbidden"),
        (REQUEST.replace("GET", "PUT"), 405, "method_not_allowed"),
        (REQUEST.replace("Version: 13", "Version: 12"), 426, "unsupported_version"),
        (REQUEST.replace("GET / ", "GET /other "), 404, "not_found"),
    ];
    let make = || {
        let routes = Server::new().route("/", Router::new());
        routes.http(application())
    };
    over_both(make, async |server| {
        for (request, status, code) in &cases {
            let mut raw = Raw::reach(&server).await;
            expect_page(&mut raw).await;
            raw.write(request.as_bytes()).await;
            let (answered, head, body) = raw.read_answer().await;
            assert_eq!(answered, *status, "{head}");
            assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
            assert!(body.contains(&format!(r#""code":"{code}""#)), "{body}");
        }
        assert_eq!(server.handle().stats().rejected, 4);
    })
    .await;
}

#[tokio::test]
async fn a_page_counts_as_a_connection_and_its_upgrade_does_not_count_again() {
    let server = TestServer::new(server().limits(limits(|limits| limits.connections = 1)));
    let mut raw = Raw::reach(&server).await;
    expect_page(&mut raw).await;
    let mut other = Raw::reach(&server).await;
    other.write(PAGE.as_bytes()).await;
    assert_eq!(other.read_answer().await.0, 503);
    raw.handshake().await;
    let mut other = Raw::reach(&server).await;
    other.write(REQUEST.as_bytes()).await;
    assert_eq!(other.read_answer().await.0, 503);
    raw.send_text("hi").await;
    raw.expect_text("hi").await;
}

#[tokio::test]
async fn limits_may_have_their_largest_values() {
    let endless = limits(|limits| {
        limits.handshake_timeout = Duration::MAX;
        limits.request_headers = usize::MAX;
        limits.request_head_size = usize::MAX;
    });
    let server = TestServer::new(server().limits(endless));
    let mut raw = Raw::reach(&server).await;
    expect_page(&mut raw).await;
    expect_page(&mut raw).await;
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_a_shutdown() {
    let server = TestServer::bind(server()).await;
    let mut raw = Raw::dial(&server).await;
    expect_page(&mut raw).await;
    let start = Instant::now();
    server.shutdown(Duration::from_secs(30)).await.unwrap();
    raw.expect_end().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Returns a server with a page that reports each request and answers when the test lets it.
fn slow_page() -> (Server, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (requested, requests) = mpsc::channel(1);
    let (release, released) = mpsc::channel::<()>(1);
    let released = std::sync::Arc::new(tokio::sync::Mutex::new(released));
    let page = async move || {
        requested.send(()).await.unwrap();
        released.lock().await.recv().await;
        "late"
    };
    (echo_server().http(axum::Router::new().route("/page", get(page))), requests, release)
}

#[tokio::test]
async fn a_shutdown_waits_for_the_answer_in_flight() {
    let (server, mut requests, release) = slow_page();
    let server = TestServer::bind(server).await;
    let mut raw = Raw::dial(&server).await;
    raw.write(PAGE.as_bytes()).await;
    requests.recv().await.unwrap();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    release.send(()).await.unwrap();
    assert_eq!(read_response(&mut raw).await, (200, "late".to_owned()));
    raw.expect_end().await;
    stopped.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_arrive_is_cut_at_the_deadline_of_the_shutdown() {
    let (server, mut requests, _release) = slow_page();
    let server = TestServer::new(server);
    let mut raw = Raw::reach(&server).await;
    raw.write(PAGE.as_bytes()).await;
    requests.recv().await.unwrap();
    let start = Instant::now();
    let error = server.shutdown(Duration::from_secs(3)).await.unwrap_err();
    assert!(error.is_forced(), "{error}");
    assert_eq!(start.elapsed().as_secs(), 3);
    raw.expect_end().await;
}

#[tokio::test]
async fn a_shutdown_closes_a_websocket_that_was_a_page_and_it_ends_once() {
    let (ends, ended) = ends();
    let server = TestServer::bind(ends.server().http(application())).await;
    let mut raw = Raw::dial(&server).await;
    expect_page(&mut raw).await;
    raw.handshake().await;
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    raw.read_close(1001).await;
    raw.send(0x88, &close_payload(1001, "")).await;
    stopped.await.unwrap().unwrap();
    assert_eq!(ended.next().await, aiows::DisconnectReason::Shutdown);
    drop(ends);
    ended.expect_no_more().await;
}

#[tokio::test]
async fn an_application_can_hold_the_server_handle_and_see_client_addresses() {
    async fn stats(State(server): State<ServerHandle>) -> Json<aiows::server::Stats> {
        Json(server.stats())
    }
    async fn whoami(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
        peer.ip().to_string()
    }
    let sockets = echo_server();
    let routes = axum::Router::new().route("/stats", get(stats)).route("/whoami", get(whoami));
    let routes = routes.with_state(sockets.handle());
    let server = TestServer::bind(sockets.http(routes)).await;
    let _socket = Raw::open(&server).await;
    let mut raw = Raw::dial(&server).await;
    raw.write(PAGE.replace("page", "stats").as_bytes()).await;
    let (status, stats) = read_response(&mut raw).await;
    let begin = r#"{"active":1,"total":1,"rejected":0,"outbound":{"queued":0,"sent":0,"#;
    assert!(status == 200 && stats.starts_with(begin), "{status} {stats}");
    raw.write(PAGE.replace("page", "whoami").as_bytes()).await;
    assert_eq!(read_response(&mut raw).await, (200, "127.0.0.1".to_owned()));
}

#[tokio::test]
async fn a_client_that_ends_its_side_of_the_stream_after_a_request_gets_its_page() {
    let (release, released) = mpsc::channel::<()>(1);
    let released = std::sync::Arc::new(tokio::sync::Mutex::new(released));
    let page = get(async move || {
        released.lock().await.recv().await;
        "at last"
    });
    let application =
        axum::Router::new().route("/slow", page).route("/page", get(async || "a page"));
    let server = TestServer::bind(Server::from(Router::new()).http(application)).await;
    let mut raw = Raw::dial(&server).await;
    raw.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.finish().await;
    // The server has read the request and the end of the stream once it has answered other clients.
    for _ in 0..3 {
        expect_page(&mut Raw::dial(&server).await).await;
    }
    release.send(()).await.unwrap();
    let (status, _, body) = raw.read_answer().await;
    assert_eq!((status, &*body), (200, "at last"));
}

#[tokio::test]
async fn a_refused_head_request_gets_no_body() {
    for server in [
        Server::new().route("/ws", Router::new()),
        Server::new().route("/ws", Router::new()).http(axum::Router::new()),
    ] {
        let server = TestServer::new(server);
        for (path, expected) in [("/ws", "405"), ("/none", "404")] {
            let mut raw = Raw::over(server.stream().await);
            let request = format!(
                "HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            );
            raw.write(request.as_bytes()).await;
            raw.finish().await;
            let answer = String::from_utf8(raw.read_to_end().await).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{head}");
            assert_eq!(body, "", "{head}");
        }
    }
}
