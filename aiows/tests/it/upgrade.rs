//! Upgrade requests that the server accepts, and its refusals of all others.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use aiows::routing::Route;
use aiows::{Router, Server};

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw, echo_server, ends, limits, masked};

const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The status of a refused request and the code in the body.
type Refusal = (u16, String);

/// Returns the sample request with one part replaced.
fn altered(part: &str, by: &str) -> String {
    assert!(REQUEST.contains(part), "{part}");
    REQUEST.replace(part, by)
}

/// Returns the sample request with one more header.
fn with_header(header: &str) -> String {
    altered("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Reads a refusal and its head, and checks the properties that all refusals share.
async fn read_refusal(raw: &mut Raw) -> (Refusal, String) {
    let (status, head, body) = raw.read_answer().await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert_eq!(header(&head, "connection"), Some("close"), "{head}");
    assert_eq!(header(&head, "content-length"), Some(body.len().to_string().as_str()), "{head}");
    assert_eq!(header(&head, "content-type"), Some("application/json"), "{head}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let (code, message) = (&body["error"]["code"], &body["error"]["message"]);
    assert!(message.as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(body, json!({ "error": { "code": code, "message": message } }));
    ((status, code.as_str().unwrap().to_owned()), head)
}

async fn refused(server: &TestServer, request: &[u8]) -> (Refusal, String) {
    let mut raw = Raw::reach(server).await;
    raw.write(request).await;
    read_refusal(&mut raw).await
}

async fn expect_refused(server: &TestServer, request: &str, status: u16, code: &str) -> String {
    let (refusal, head) = refused(server, request.as_bytes()).await;
    assert_eq!(refusal, (status, code.to_owned()), "{request}");
    head
}

async fn expect_accepted(server: &TestServer, request: &str) {
    let mut raw = Raw::reach(server).await;
    raw.write(request.as_bytes()).await;
    assert_eq!(raw.read_head().await, UPGRADED, "{request}");
}

/// Tries until the server has room, because a closed connection counts until shortly after the
/// client has seen its end.
async fn join_when_there_is_room(server: &TestServer) -> Raw {
    let joined = timeout(Duration::from_secs(5), async {
        loop {
            let mut raw = Raw::reach(server).await;
            raw.write(REQUEST.as_bytes()).await;
            if raw.read_head().await == UPGRADED {
                return raw;
            }
        }
    });
    joined.await.expect("room for a connection")
}

#[tokio::test]
async fn the_accept_key_answers_the_key_of_the_request() {
    over_both(echo_server, async |server| {
        expect_accepted(&server, REQUEST).await;
    })
    .await;
}

#[tokio::test]
async fn a_key_with_spare_bits_in_its_last_character_is_accepted() {
    over_both(echo_server, async |server| {
        // The example of RFC 6455 section 4.1.
        let mut raw = Raw::reach(&server).await;
        raw.write(altered("dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==").as_bytes()).await;
        let head = raw.read_head().await;
        assert_eq!(header(&head, "sec-websocket-accept"), Some("OfS0wDaT5NoxF2gqm7Zj2YtetzM="));
        for last in ["B", "/", "9"] {
            let key = format!("AQIDBAUGBwgJCgsMDQ4PE{last}==");
            let mut raw = Raw::reach(&server).await;
            raw.write(altered("dGhlIHNhbXBsZSBub25jZQ==", &key).as_bytes()).await;
            assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "), "{key}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::reach(&server).await;
        for byte in REQUEST.bytes() {
            raw.write(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(raw.read_head().await, UPGRADED);
        raw.send_text("after").await;
        raw.expect_text("after").await;
    })
    .await;
}

#[tokio::test]
async fn frames_right_behind_the_request_are_handled() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::reach(&server).await;
        let first = masked(0x81, b"first");
        let (whole, cut) = (masked(0x81, b"second"), 3);
        raw.write(&[REQUEST.as_bytes(), &first, &whole[..cut]].concat()).await;
        assert_eq!(raw.read_head().await, UPGRADED);
        raw.expect_text("first").await;
        raw.write(&whole[cut..]).await;
        raw.expect_text("second").await;
    })
    .await;
}

#[tokio::test]
async fn a_close_frame_right_behind_the_request_is_answered() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::reach(&server).await;
        let frames = [masked(0x81, b"first"), masked(0x88, &[0x03, 0xe8])].concat();
        raw.write(&[REQUEST.as_bytes(), &frames].concat()).await;
        assert_eq!(raw.read_head().await, UPGRADED);
        raw.expect_text("first").await;
        assert_eq!(raw.read_close(1000).await, "");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn unusual_but_valid_requests_are_accepted() {
    over_both(echo_server, async |server| {
        for request in [
            altered("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
            altered("Connection: Upgrade", "connection: keep-alive , uPGRADE"),
            altered("Upgrade: websocket", "Upgrade: WebSocket"),
            altered("GET / ", "GET /?room=a%20b "),
            altered("GET / ", "GET /any/path "),
            with_header("Content-Length: 0"),
        ] {
            expect_accepted(&server, &request).await;
        }
    })
    .await;
}

#[tokio::test]
async fn input_that_is_not_http_is_answered_with_400() {
    over_both(echo_server, async |server| {
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        for garbage in [
            &hello[..],
            b"\0\0\0\0",
            b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /\r\n\r\n",
            b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        ] {
            let (refusal, _) = refused(&server, garbage).await;
            assert_eq!(refusal, (400, "bad_request".to_owned()), "{garbage:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_invalid_upgrade_request_is_answered_with_400() {
    over_both(echo_server, async |server| {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for request in [
            altered("Host: localhost\r\n", ""),
            altered("Host: localhost\r\n", "Host:\r\n"),
            altered("Host: localhost\r\n", "Host: localhost\r\nHost: localhost\r\n"),
            altered(key, ""),
            altered(key, &key.repeat(2)),
            altered(key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
            altered(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
            altered(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n"),
            altered(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j====\r\n"),
            altered(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"),
            altered(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==\r\n"),
            altered("Connection: Upgrade\r\n", ""),
            altered("Connection: Upgrade\r\n", "Connection: keep-alive\r\n"),
            altered("HTTP/1.1", "HTTP/1.0"),
            with_header("Content-Length: 5") + "hello",
            with_header("Content-Length: 0\r\nContent-Length: 0"),
            with_header("Transfer-Encoding: chunked") + "0\r\n\r\n",
            with_header("Content-Length: 0\r\nTransfer-Encoding: chunked"),
            with_header("Sec-WebSocket-Version: 13"),
        ] {
            expect_refused(&server, &request, 400, "bad_request").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_method_other_than_get_is_answered_with_405() {
    over_both(echo_server, async |server| {
        for method in ["POST", "OPTIONS", "get"] {
            let request = altered("GET /", &format!("{method} /"));
            let head = expect_refused(&server, &request, 405, "method_not_allowed").await;
            assert_eq!(header(&head, "allow"), Some("GET"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_without_upgrade_is_answered_with_426() {
    over_both(echo_server, async |server| {
        for request in [
            altered("Upgrade: websocket\r\n", ""),
            altered("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        ] {
            let head = expect_refused(&server, &request, 426, "upgrade_required").await;
            assert_eq!(header(&head, "upgrade"), Some("websocket"));
        }
    })
    .await;
}

#[tokio::test]
async fn another_websocket_version_is_answered_with_426_and_the_supported_one() {
    over_both(echo_server, async |server| {
        for request in [
            altered("Sec-WebSocket-Version: 13\r\n", ""),
            altered("Version: 13", "Version: 8"),
            altered("Version: 13", "Version: 013"),
            altered("Version: 13", "Version: 13, 8"),
        ] {
            let head = expect_refused(&server, &request, 426, "unsupported_version").await;
            assert_eq!(header(&head, "sec-websocket-version"), Some("13"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_path_is_answered_with_404_if_the_server_has_only_routes() {
    let router = || Router::new().route(Route::message("x", |_| async {}));
    let routed = || Server::new().route("/ws/{room}", router());
    over_both(routed, async |server| {
        for path in ["/", "/ws", "/ws/a/b", "/WS/a"] {
            let request = altered("GET / ", &format!("GET {path} "));
            expect_refused(&server, &request, 404, "not_found").await;
        }
        expect_accepted(&server, &altered("GET / ", "GET /ws/a?b=c ")).await;
    })
    .await;
    let open = || routed().include_router(router());
    over_both(open, async |server| {
        expect_accepted(&server, REQUEST).await;
    })
    .await;
}

/// Returns the sample request, padded to this many bytes.
fn request_of(size: usize) -> String {
    let padding = size - REQUEST.len() - "X: \r\n".len();
    with_header(&format!("X: {}", "x".repeat(padding)))
}

#[tokio::test]
async fn a_request_head_over_the_limit_is_answered_with_431() {
    let small = || echo_server().limits(limits(|limits| limits.request_head_size = 1000));
    over_both(small, async |server| {
        assert_eq!(request_of(1000).len(), 1000);
        expect_accepted(&server, &request_of(1000)).await;
        expect_refused(&server, &request_of(1001), 431, "head_too_large").await;
        let endless = altered("GET /", &format!("GET /{}", "x".repeat(20_000)));
        expect_refused(&server, &endless, 431, "head_too_large").await;
        let unfinished = &request_of(2000)[..1500];
        expect_refused(&server, unfinished, 431, "head_too_large").await;
    })
    .await;
}

#[tokio::test]
async fn a_request_head_has_at_most_16_kib_by_default() {
    over_both(echo_server, async |server| {
        expect_accepted(&server, &request_of(16 * 1024)).await;
        expect_refused(&server, &request_of(16 * 1024 + 1), 431, "head_too_large").await;
        let endless = with_header(&["X: x"].repeat(12_000).join("\r\n"));
        let endless = endless.trim_end();
        expect_refused(&server, endless, 431, "head_too_large").await;
    })
    .await;
}

#[tokio::test]
async fn a_request_with_too_many_headers_is_answered_with_431() {
    let few = || echo_server().limits(limits(|limits| limits.request_headers = 10));
    over_both(few, async |server| {
        let with = |count: usize| with_header(&["X: x"].repeat(count - 5).join("\r\n"));
        expect_accepted(&server, &with(10)).await;
        expect_refused(&server, &with(11), 431, "head_too_large").await;
        expect_refused(&server, &with(1000), 431, "head_too_large").await;
    })
    .await;
}

#[tokio::test]
async fn a_large_refused_request_still_gets_its_answer() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::reach(&server).await;
        // The server discards the rest of the request, so that closing keeps the answer intact.
        let request = format!("\x01{}", "x".repeat(60_000));
        raw.write(request.as_bytes()).await;
        let (refusal, _) = read_refusal(&mut raw).await;
        assert_eq!(refusal, (400, "bad_request".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_page_of_the_same_host_may_connect() {
    over_both(echo_server, async |server| {
        for (host, origin) in [
            ("localhost", "http://localhost"),
            ("localhost", "http://localhost:80"),
            ("localhost:80", "http://LOCALHOST"),
            ("localhost", "https://localhost"),
            ("localhost:8000", "http://localhost:8000"),
            ("[::1]:8000", "http://[::1]:8000"),
        ] {
            let request = altered("Host: localhost", &format!("Host: {host}\r\nOrigin: {origin}"));
            expect_accepted(&server, &request).await;
        }
        expect_accepted(&server, REQUEST).await;
    })
    .await;
}

const FOREIGN_ORIGINS: [&str; 14] = [
    "http://localhost:8000",
    "http://example.com",
    "http://localhost.example.com",
    "http://localhostile",
    "http://notlocalhost",
    "http://localhost@example.com",
    "http://user@localhost",
    "http://localhost/",
    "http://localhost http://localhost",
    "http://localhost, http://example.com",
    "http://localhost:",
    "localhost",
    "null",
    "",
];

#[tokio::test]
async fn a_page_of_another_host_is_answered_with_403() {
    over_both(echo_server, async |server| {
        for origin in FOREIGN_ORIGINS {
            let request = with_header(&format!("Origin: {origin}"));
            expect_refused(&server, &request, 403, "forbidden").await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_origin_that_is_not_http_is_not_the_same_host() {
    over_both(echo_server, async |server| {
        for scheme in ["ftp", "chrome-extension", "file"] {
            let request = with_header(&format!("Origin: {scheme}://localhost"));
            expect_refused(&server, &request, 403, "forbidden").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_with_two_origins_is_answered_with_403() {
    let any = || echo_server().allow_any_origin();
    over_both(any, async |server| {
        let request = with_header("Origin: http://localhost\r\nOrigin: http://localhost");
        expect_refused(&server, &request, 403, "forbidden").await;
    })
    .await;
}

#[tokio::test]
async fn listed_origins_replace_the_same_host_and_match_exactly() {
    let listed =
        || echo_server().allow_origins(["https://app.example", "http://dev.example:3000", "null"]);
    over_both(listed, async |server| {
        for origin in
            ["https://app.example", "https://app.example:443", "http://dev.example:3000", "null"]
        {
            expect_accepted(&server, &with_header(&format!("Origin: {origin}"))).await;
        }
        for origin in [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.com",
            "https://my.app.example",
            "https://app.example@evil.example",
            "https://app.example/",
            "http://dev.example",
            "http://localhost",
            "NULL",
        ] {
            let request = with_header(&format!("Origin: {origin}"));
            expect_refused(&server, &request, 403, "forbidden").await;
        }
        expect_accepted(&server, REQUEST).await;
    })
    .await;
}

#[tokio::test]
async fn listed_origins_of_other_schemes_are_compared_as_text() {
    const LISTED: [&str; 5] = [
        "file://",
        "capacitor://localhost",
        "chrome-extension://abcdefgh",
        "app://.",
        "https://app.example",
    ];
    over_both(
        || echo_server().allow_origins(LISTED),
        async |server| {
            for origin in LISTED {
                expect_accepted(&server, &with_header(&format!("Origin: {origin}"))).await;
            }
            for origin in [
                "file:",
                "file:///",
                "FILE://",
                "capacitor://localhost:80",
                "capacitor://localhost.example.com",
                "capacitor://",
                "http://localhost",
                "chrome-extension://abcdefghi",
                "app://",
                "null",
            ] {
                let request = with_header(&format!("Origin: {origin}"));
                expect_refused(&server, &request, 403, "forbidden").await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn any_origin_may_connect_if_the_server_allows_it() {
    let any = || echo_server().allow_any_origin();
    over_both(any, async |server| {
        for origin in ["http://example.com", "null", "file://"] {
            expect_accepted(&server, &with_header(&format!("Origin: {origin}"))).await;
        }
    })
    .await;
}

fn one_connection() -> Server {
    echo_server().limits(limits(|limits| limits.connections = 1))
}

#[tokio::test]
async fn a_connection_over_the_limit_is_answered_with_503_until_another_closes() {
    over_both(one_connection, async |server| {
        let mut first = Raw::join(&server).await;
        let head = expect_refused(&server, REQUEST, 503, "unavailable").await;
        assert_eq!(header(&head, "retry-after"), Some("1"));
        first.send_text("still here").await;
        first.expect_text("still here").await;
        first.send_close(1000, "").await;
        first.read_close(1000).await;
        first.expect_end().await;
        join_when_there_is_room(&server).await;
    })
    .await;
}

#[tokio::test]
async fn the_server_has_room_again_after_a_stream_has_ended() {
    over_both(one_connection, async |server| {
        let first = Raw::join(&server).await;
        expect_refused(&server, REQUEST, 503, "unavailable").await;
        drop(first);
        join_when_there_is_room(&server).await;
    })
    .await;
}

#[tokio::test]
async fn the_server_has_room_again_after_a_reset() {
    let server = TestServer::bind(one_connection()).await;
    let first = Raw::open(&server).await;
    expect_refused(&server, REQUEST, 503, "unavailable").await;
    first.reset();
    join_when_there_is_room(&server).await;
}

#[tokio::test]
async fn a_refused_request_does_not_count_as_a_connection() {
    over_both(one_connection, async |server| {
        for _ in 0..3 {
            let request = with_header("Origin: http://example.com");
            expect_refused(&server, &request, 403, "forbidden").await;
        }
        expect_accepted(&server, REQUEST).await;
    })
    .await;
}

#[tokio::test]
async fn a_half_open_handshake_does_not_count_as_a_connection() {
    over_both(one_connection, async |server| {
        let mut halves = Vec::new();
        for length in 0..20 {
            let mut half = Raw::reach(&server).await;
            half.write(&REQUEST.as_bytes()[..length]).await;
            halves.push((length, half));
        }
        let mut only = Raw::join(&server).await;
        only.send_text("in").await;
        only.expect_text("in").await;
        // A client that completes its request now exceeds the limit.
        let (length, mut half) = halves.pop().unwrap();
        half.write(&REQUEST.as_bytes()[length..]).await;
        assert_eq!(read_refusal(&mut half).await.0, (503, "unavailable".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn an_incomplete_request_is_answered_with_503_at_shutdown() {
    over_both(echo_server, async |server| {
        let mut late = Raw::reach(&server).await;
        late.write(&REQUEST.as_bytes()[..20]).await;
        // The server accepts connections in order, so it has accepted the late one as well.
        let mut other = Raw::join(&server).await;
        server.handle().shutdown(Duration::from_secs(5));
        let (refusal, head) = read_refusal(&mut late).await;
        assert_eq!(refusal, (503, "unavailable".to_owned()));
        assert_eq!(header(&head, "retry-after"), Some("1"));
        assert_eq!(other.read_close(1001).await, "Server shutdown");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_stays_connected_does_not_delay_a_shutdown() {
    let server = TestServer::new(echo_server());
    let mut late = Raw::reach(&server).await;
    late.write(b"GET / HT").await;
    tokio::task::yield_now().await;
    let started = Instant::now();
    let stopped = server.shutdown(Duration::from_secs(2)).await;
    assert_eq!(stopped.map_err(|error| error.to_string()), Ok(()));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(late);
}

#[tokio::test]
async fn a_silent_client_is_dropped_at_the_handshake_timeout() {
    let hasty = Duration::from_millis(100);
    let server = || echo_server().limits(limits(|limits| limits.handshake_timeout = hasty));
    over_both(server, async |server| {
        let started = Instant::now();
        let mut raw = Raw::reach(&server).await;
        raw.expect_end().await;
        let elapsed = started.elapsed();
        assert!(elapsed >= hasty, "{elapsed:?}");
        assert!(elapsed < hasty * 10, "{elapsed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_completes_its_request_is_dropped_at_the_handshake_timeout() {
    let hasty = Duration::from_millis(100);
    let server = || echo_server().limits(limits(|limits| limits.handshake_timeout = hasty));
    over_both(server, async |server| {
        let started = Instant::now();
        let (mut reader, mut writer) = tokio::io::split(server.stream().await);
        let dribble = async {
            for byte in REQUEST.bytes().cycle() {
                let _ = writer.write_all(&[byte]).await;
                sleep(Duration::from_millis(10)).await;
            }
        };
        let mut received = Vec::new();
        tokio::select! {
            _ = reader.read_to_end(&mut received) => {}
            () = dribble => unreachable!("it never ends by itself"),
        }
        assert_eq!(received, b"");
        let elapsed = started.elapsed();
        assert!(elapsed >= hasty, "{elapsed:?}");
        assert!(elapsed < hasty * 10, "{elapsed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_during_its_request_is_not_counted() {
    let (ends, ended) = ends();
    let server = TestServer::new(ends.server());
    let mut raw = Raw::reach(&server).await;
    raw.write(&REQUEST.as_bytes()[..30]).await;
    drop(raw);
    let stats = server.handle().stats();
    assert_eq!((stats.active, stats.total, stats.rejected), (0, 0, 0));
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    drop(ends);
    ended.expect_no_more().await;
}

#[tokio::test]
async fn the_stats_count_open_accepted_and_refused_connections() {
    let (ends, ended) = ends();
    over_both(
        || ends.server(),
        async |server| {
            let counts = || {
                let stats = server.handle().stats();
                (stats.active, stats.total, stats.rejected)
            };
            assert_eq!(counts(), (0, 0, 0));
            let mut first = Raw::join(&server).await;
            let _second = Raw::join(&server).await;
            assert_eq!(counts(), (2, 2, 0));
            let request = with_header("Origin: http://example.com");
            expect_refused(&server, &request, 403, "forbidden").await;
            expect_refused(&server, "\x01", 400, "bad_request").await;
            assert_eq!(counts(), (2, 2, 2));
            first.send_close(1000, "").await;
            first.read_close(1000).await;
            // The connection is no longer counted when its disconnect handlers run.
            ended.next().await;
            assert_eq!(counts(), (1, 2, 2));
        },
    )
    .await;
}
