//! The order in which a request is checked: one that fails two checks gets the answer of the first.

use std::time::Duration;

use aiows::middleware::{Handshake, Middleware};
use aiows::{App, HandlerError, Path, Query, Result, Router, Server, WebSocket, connect, routes};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::raw::limits;

/// The server that a request is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routes {
    /// Connect handlers take the path and the query.
    Typed,
    /// Only the room of the path is read.
    Plain,
    /// One router serves every path.
    Root,
}

/// A request, and the state of the server it is sent to.
struct Attempt {
    routes: Routes,
    method: &'static str,
    base: &'static str,
    room: &'static str,
    seat: &'static str,
    query: &'static str,
    target: Option<&'static str>,
    version: &'static str,
    line_end: &'static str,
    headers: Vec<(&'static str, String)>,
    is_stopping: bool,
    is_full: bool,
    #[cfg(feature = "axum")]
    has_http: bool,
}

/// One way to fail, and the answer to it.
struct Failure {
    name: &'static str,
    /// The only server on which it is possible.
    routes: Option<Routes>,
    /// What it changes; two failures that change the same thing cannot be combined.
    slot: &'static str,
    fail: fn(&mut Attempt),
    status: u16,
    message: &'static str,
}

impl Attempt {
    fn new(routes: Routes) -> Self {
        let headers = [
            ("Host", "localhost"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        Self {
            routes,
            method: "GET",
            base: "rooms",
            room: "red",
            seat: "7",
            query: "row=1",
            target: None,
            version: "1.1",
            line_end: "\r\n",
            headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
            is_stopping: false,
            is_full: false,
            #[cfg(feature = "axum")]
            has_http: false,
        }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, base, room, seat, query, version, line_end, .. } = self;
        let target = format!("/{base}/{room}/{seat}?{query}");
        let target = self.target.unwrap_or(&target);
        let mut request = format!("{method} {target} HTTP/{version}{line_end}");
        self.headers.iter().for_each(|(name, value)| {
            request.push_str(&format!("{name}: {value}\r\n"));
        });
        (request + "\r\n").into_bytes()
    }

    fn server(&self) -> Server {
        let limits = limits(|limits| {
            limits.connections = 1;
            limits.request_headers = 20;
            limits.request_head_size = 1024;
        });
        let router = Router::new().middleware(Refuser);
        let server = Server::new().limits(limits).check_rooms(check_room);
        #[cfg(feature = "axum")]
        let server = match self.has_http {
            true => server.http(axum::Router::new().fallback(async || "page")),
            false => server,
        };
        match self.routes {
            Routes::Root => server.include_router(router),
            Routes::Plain => server.route("/rooms/{room}/{seat}", router.join_from_path("room")),
            Routes::Typed => server.route(
                "/rooms/{room}/{seat}",
                router.routes(routes![take_path, take_query]).join_from_path("room"),
            ),
        }
    }

    /// Sends the request and returns the status and the message of the answer.
    async fn answer(&self) -> (u16, String) {
        let app = self.server().build().unwrap();
        let held = match self.is_full {
            true => Some(hold(&app, self.routes).await),
            false => None,
        };
        if self.is_stopping {
            drop(app.handle().shutdown(Duration::from_secs(60)));
        }
        let answer = send(&app, &self.bytes()).await;
        drop(held);
        answer
    }
}

struct Refuser;

impl Middleware for Refuser {
    async fn on_handshake(&self, handshake: &Handshake) -> Result<(), HandlerError> {
        match handshake.headers().contains_key("x-refuse") {
            true => Err(HandlerError::new("refused", "the middleware refuses")),
            false => Ok(()),
        }
    }
}

async fn check_room(room: String, _: WebSocket) -> Result {
    match room.as_str() {
        "closed" => Err(HandlerError::new("closed", "the room is closed")),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "row")]
    _row: u32,
}

#[connect]
async fn take_path(Path(_): Path<(String, u32)>) {}

#[connect]
async fn take_query(Query(_): Query<Row>) {}

/// Opens the only connection that the server has room for.
async fn hold(app: &App, routes: Routes) -> DuplexStream {
    let (mut client, stream) = duplex(8 * 1024);
    client.write_all(&Attempt::new(routes).bytes()).await.unwrap();
    app.serve_stream(stream, None);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    client
}

async fn send(app: &App, request: &[u8]) -> (u16, String) {
    let (mut client, stream) = duplex(8 * 1024);
    // The server finds the whole request at its first look.
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    app.serve_stream(stream, None);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    (status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

impl Failure {
    fn new(
        name: &'static str,
        slot: &'static str,
        fail: fn(&mut Attempt),
        status: u16,
        message: &'static str,
    ) -> Self {
        Self { name, routes: None, slot, fail, status, message }
    }

    /// A failure that is possible only on this server.
    fn on(self, routes: Routes) -> Self {
        Self { routes: Some(routes), ..self }
    }
}

/// Every way to fail, in the order of the checks.
fn failures() -> Vec<Failure> {
    let parts = [failures_of_the_head(), failures_of_the_upgrade(), failures_of_the_application()];
    parts.into_iter().flatten().collect()
}

#[rustfmt::skip]
fn failures_of_the_head() -> Vec<Failure> {
    vec![
        Failure::new("line end", "line end", |a| a.line_end = "\n", 400, BARE_LINE_FEED),
        Failure::new("head size", "head size", |a| a.set("X-Pad", &"x".repeat(3000)), 431, SIZE),
        Failure::new("syntax", "syntax", |a| a.set("X Y", "z"), 400, INVALID),
        Failure::new("headers", "headers", |a| a.headers.extend(many()), 431, SIZE),
    ]
}

#[rustfmt::skip]
fn failures_of_the_upgrade() -> Vec<Failure> {
    vec![
        Failure::new("path", "base", |a| a.base = "else", 404, "nothing is served under this path"),
        Failure::new("method", "method", |a| a.method = "PUT", 405, "a WebSocket is opened with GET"),
        Failure::new("upgrade", "upgrade", |a| a.set("Upgrade", "h2c"), 426, UPGRADE),
        Failure::new("connection", "connection", |a| a.set("Connection", "close"), 400, CONNECTION),
        Failure::new("HTTP", "HTTP", |a| a.version = "1.0", 400, "a WebSocket needs HTTP/1.1"),
        Failure::new("target", "target", |a| a.target = Some("*"), 400, TARGET).on(Routes::Root),
        Failure::new("host", "host", |a| a.set("Host", ""), 400, "exactly one `Host` is required"),
        Failure::new("body", "body", |a| a.set("Content-Length", "5"), 400, BODY),
        Failure::new("version", "version", |a| a.set("Sec-WebSocket-Version", "8"), 426, VERSION),
        Failure::new("key", "key", |a| a.set("Sec-WebSocket-Key", "x"), 400, KEY),
        Failure::new("origin", "origin", |a| a.set("Origin", "https://a.example"), 403, ORIGIN),
    ]
}

#[rustfmt::skip]
fn failures_of_the_application() -> Vec<Failure> {
    vec![
        Failure::new("path text", "room", |a| a.room = "%ff", 400, PATH_TEXT).on(Routes::Typed),
        Failure::new("query text", "query", |a| a.query = "row=%ff", 400, QUERY_TEXT).on(Routes::Typed),
        Failure::new("path type", "seat", |a| a.seat = "x", 400, PATH_TYPE).on(Routes::Typed),
        Failure::new("query type", "query", |a| a.query = "row=x", 400, QUERY_TYPE).on(Routes::Typed),
        Failure::new("stop", "stop", |a| a.is_stopping = true, 503, "the server is stopping"),
        Failure::new("room text", "room", |a| a.room = "%ff", 400, PATH_TEXT).on(Routes::Plain),
        Failure::new("capacity", "full", |a| a.is_full = true, 503, "the server has no room left"),
        Failure::new("middleware", "refuse", |a| a.set("X-Refuse", "1"), 403, "the middleware refuses"),
        Failure::new("room", "room", |a| a.room = "closed", 403, "the room is closed").on(Routes::Plain),
    ]
}

const BARE_LINE_FEED: &str = "a line of the request ends without CR";
const INVALID: &str = "the request is not valid HTTP";
const SIZE: &str = "the request head is too large";
const CONNECTION: &str = "`Connection` does not name `upgrade`";
const TARGET: &str = "the request target is not a path";
const BODY: &str = "an upgrade request has no body";
const KEY: &str = "exactly one valid `Sec-WebSocket-Key` is required";
const ORIGIN: &str = "this origin may not connect";
const PATH_TEXT: &str = "the path is not percent-encoded UTF-8";
const QUERY_TEXT: &str = "the query is not percent-encoded UTF-8";
const UPGRADE: &str = "this path serves WebSocket connections";
const VERSION: &str = "only version 13 of the protocol is supported";
const PATH_TYPE: &str = "the path does not have the expected parameters";
const QUERY_TYPE: &str = "the query does not have the expected fields";

fn many() -> Vec<(&'static str, String)> {
    (0..20).map(|_| ("X-Many", "1".to_owned())).collect()
}

/// Returns the server on which both failures are possible in one request.
fn common_routes(first: &Failure, second: &Failure) -> Option<Routes> {
    let of_target = ["base", "room", "seat", "query"];
    let has_target = first.slot == "target" || second.slot == "target";
    let is_split = has_target && [first, second].iter().any(|f| of_target.contains(&f.slot));
    if first.slot == second.slot || is_split {
        return None;
    }
    match (first.routes, second.routes) {
        (Some(first), Some(second)) => (first == second).then_some(first),
        (one, other) => Some(one.or(other).unwrap_or(Routes::Typed)),
    }
}

#[tokio::test]
async fn each_failed_check_has_its_own_answer() {
    for failure in failures() {
        let mut attempt = Attempt::new(failure.routes.unwrap_or(Routes::Typed));
        (failure.fail)(&mut attempt);
        let expected = (failure.status, failure.message.to_owned());
        assert_eq!(attempt.answer().await, expected, "{}", failure.name);
    }
}

#[tokio::test]
async fn a_request_that_fails_two_checks_gets_the_answer_of_the_first() {
    let failures = failures();
    let mut rows = 0;
    for (at, second) in failures.iter().enumerate() {
        for first in &failures[..at] {
            let Some(routes) = common_routes(first, second) else { continue };
            let mut attempt = Attempt::new(routes);
            (first.fail)(&mut attempt);
            (second.fail)(&mut attempt);
            let expected = (first.status, first.message.to_owned());
            assert_eq!(attempt.answer().await, expected, "{} and {}", first.name, second.name);
            rows += 1;
        }
    }
    assert_eq!(rows, 259);
}

/// Answers of a server whose HTTP application answers every request that is not for a WebSocket.
#[cfg(feature = "axum")]
#[tokio::test]
async fn a_request_for_the_application_is_checked_for_capacity_first_and_then_for_a_stop() {
    for (is_full, is_stopping, expected) in [
        (false, false, (200, "")),
        (false, true, (503, "the server is stopping")),
        (true, false, (503, "the server has no room left")),
        (true, true, (503, "the server has no room left")),
    ] {
        let mut attempt = Attempt { is_full, is_stopping, ..Attempt::new(Routes::Typed) };
        attempt.has_http = true;
        attempt.set("Upgrade", "h2c");
        // None of these is a fault of a request for the application.
        attempt.base = "else";
        attempt.method = "PUT";
        attempt.set("Sec-WebSocket-Key", "x");
        attempt.set("Origin", "https://elsewhere.example");
        assert_eq!(attempt.answer().await, (expected.0, expected.1.to_owned()));
        attempt.set("X Y", "z");
        assert_eq!(attempt.answer().await, (400, "the request is not valid HTTP".to_owned()));
    }
}
