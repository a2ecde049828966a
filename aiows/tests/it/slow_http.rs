//! Timeouts of HTTP connections: slow clients do not keep their connection permits.

use std::time::Duration;

use axum::routing::{get, post};
use futures_util::stream::{Stream, iter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::kit::TestServer;
use crate::raw::{Raw, echo_server, limits};

/// A server with a limit of one connection.
fn server() -> TestServer {
    let application = axum::Router::new()
        .route("/page", get(async || "a page"))
        .route("/large", get(async || "x".repeat(4 * 1024 * 1024)))
        .route("/length", post(async |body: String| body.len().to_string()));
    let limits = limits(|limits| limits.connections = 1);
    TestServer::new(echo_server().limits(limits).http(application))
}

/// Requests a page over a new connection, and returns the status.
async fn status(server: &TestServer) -> u16 {
    let mut raw = Raw::reach(server).await;
    raw.write(b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    raw.read_answer().await.0
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_head_is_cut_at_the_timeout_even_after_an_earlier_request() {
    let server = server();
    for head in ["", "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut raw = Raw::reach(&server).await;
        raw.write(head.as_bytes()).await;
        if !head.is_empty() {
            raw.read_head().await;
            raw.read_exactly("a page".len()).await;
        }
        let start = Instant::now();
        raw.write(b"GET /page HTTP/1.1\r\nHost:").await;
        assert!(timeout(Duration::from_secs(60), raw.ends()).await.unwrap());
        let waited = start.elapsed();
        assert!((9..=11).contains(&waited.as_secs()), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_releases_its_permit() {
    let server = server();
    let mut raw = Raw::reach(&server).await;
    raw.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(status(&server).await, 503);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&server).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_response_is_cut_off() {
    let server = server();
    let mut raw = Raw::reach(&server).await;
    raw.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(status(&server).await, 503);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&server).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_receives_the_whole_response() {
    let server = server();
    let mut raw = Raw::reach(&server).await;
    raw.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    raw.read_head().await;
    for _ in 0..4 {
        sleep(Duration::from_secs(9)).await;
        raw.read_exactly(1024 * 1024).await;
    }
    raw.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_stalls_is_refused_and_one_with_pauses_is_accepted() {
    let server = server();
    let head = "POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    let mut raw = Raw::reach(&server).await;
    raw.write(head.as_bytes()).await;
    for part in ["a", "b", "c"] {
        sleep(Duration::from_secs(9)).await;
        raw.write(part.as_bytes()).await;
    }
    let (status_of_slow, _, body) = raw.read_answer().await;
    assert_eq!((status_of_slow, body.as_str()), (200, "3"));

    let mut raw = Raw::reach(&server).await;
    raw.write(head.as_bytes()).await;
    raw.write(b"ab").await;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(raw.read_answer().await.0, 400);
    assert_eq!(status(&server).await, 200);
}

fn parts(size: usize) -> impl Stream<Item = std::io::Result<String>> {
    const PART: usize = 16 * 1024;
    iter((0..size / PART).map(|_| Ok("x".repeat(PART))))
}

/// Relative to the write timeout, the client reads as slowly as one that reads 2 kB/s from a server
/// with default limits.
#[tokio::test]
async fn a_slow_reader_with_a_small_window_receives_a_large_response_whole() {
    const SIZE: usize = 6 * 1024 * 1024;
    let application = axum::Router::new()
        .route("/large", get(async || "x".repeat(SIZE)))
        .route("/parts", get(async || axum::body::Body::from_stream(parts(SIZE))));
    let limits = limits(|limits| limits.write_timeout = Duration::from_millis(1500));
    let server = TestServer::bind(echo_server().limits(limits).http(application)).await;
    for path in ["/large", "/parts"] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(server.address()).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut read, mut buffer) = (0, vec![0; 6 * 1024]);
        // The first bytes come slowly, the others as fast as they can.
        while read < 60 * 1024 {
            sleep(Duration::from_millis(100)).await;
            read += stream.read(&mut buffer[..1200]).await.unwrap();
        }
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                some => read += some,
            }
        }
        assert!(read > SIZE, "{path}: {read} of {SIZE} bytes");
    }
}
