//! Middleware accepts, refuses and reads upgrade requests before the server answers them.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aiows::middleware::{Handshake, Middleware};
use aiows::{Context, HandlerError, Message, Result, Router, Server, connect, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::kit::{TestServer, over_both, wrapped};
use crate::raw::{REQUEST, Raw, echo_server, ends, limits};

/// Middleware made of a function.
#[derive(Clone, Copy)]
struct FromFunction(Check);

type Check = fn(&Handshake) -> Result;

impl Middleware for FromFunction {
    async fn on_handshake(&self, handshake: &Handshake) -> Result {
        (self.0)(handshake)
    }
}

/// Sends a request, and returns the answer's status, head and `error`.
async fn answer(raw: &mut Raw, request: &str) -> (u16, String, Value) {
    raw.write(request.as_bytes()).await;
    let (status, head, body) = raw.read_answer().await;
    let mut body: Value = serde_json::from_str(&body).unwrap();
    (status, head.to_ascii_lowercase(), body["error"].take())
}

fn refusing(refuse: Check) -> impl Fn() -> Server {
    move || echo_server().middleware(FromFunction(refuse))
}

#[derive(Clone, Debug, PartialEq, Message, Deserialize, Serialize)]
struct Guest {
    name: String,
    room: String,
    agent: String,
    greeting: String,
}

#[derive(Deserialize)]
struct Introduction {
    name: String,
}

#[connect]
async fn welcome(Context(guest): Context<Guest>) -> Guest {
    guest
}

#[message("who")]
async fn who(guest: Option<Context<Guest>>) -> Option<Guest> {
    guest.map(|guest| guest.0)
}

fn introduce(handshake: &Handshake) -> Result {
    assert_eq!(handshake.path(), "/rooms/the%20hall");
    let (room,): (String,) = handshake.params()?;
    let Introduction { name } = handshake.query()?;
    let agent = handshake.headers().get("user-agent").ok_or("no agent")?.to_str()?;
    handshake.context().insert(Guest {
        name,
        room,
        agent: agent.to_owned(),
        greeting: handshake.state().ok_or("no greeting")?,
    });
    Ok(())
}

fn rooms() -> Server {
    let router = Router::new().routes(routes![welcome, who]).state("moin".to_owned());
    Server::new().route("/rooms/{room}", router.middleware(FromFunction(introduce)))
}

#[tokio::test]
async fn every_handler_sees_the_values_that_middleware_read_from_the_request() {
    over_both(rooms, async |server| {
        let agent = &[("user-agent", "probe/1")];
        let mut client = server.try_connect("/rooms/the%20hall?name=ann", agent).await.unwrap();
        let expected = json!({
            "type": "guest", "name": "ann", "room": "the hall", "agent": "probe/1",
            "greeting": "moin",
        });
        assert_eq!(client.recv_json().await, expected);
        client.send_text(r#"{"type":"who"}"#).await;
        assert_eq!(client.recv_json().await, expected);
    })
    .await;
}

/// Refuses the request with the IP address of the client.
fn refuse_with_ip(handshake: &Handshake) -> Result {
    let ip = handshake.peer_addr().map(|address| address.ip());
    Err(HandlerError::new("you", "you are you").with("ip", ip))
}

#[tokio::test]
async fn middleware_sees_the_address_of_a_client_that_has_one() {
    let server = TestServer::bind(refusing(refuse_with_ip)()).await;
    let (.., error) = answer(&mut Raw::reach(&server).await, REQUEST).await;
    assert_eq!(error["params"]["ip"], "127.0.0.1");
    let server = TestServer::new(refusing(refuse_with_ip)());
    let (.., error) = answer(&mut Raw::reach(&server).await, REQUEST).await;
    assert_eq!(error["params"]["ip"], Value::Null);
}

/// A server that requires a name in the query, on its own and mounted in an axum application.
#[cfg(feature = "axum")]
mod behind_http {
    use std::net::SocketAddr;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const PAGE: &str = "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn named() -> Server {
        let name = FromFunction(|handshake| {
            let Introduction { name } = handshake.query()?;
            handshake.context().insert(name);
            Ok(())
        });
        Server::from(Router::new().routes(routes![greet])).middleware(name)
    }

    #[connect]
    async fn greet(ws: aiows::WebSocket, Context(name): Context<String>) -> Result {
        Ok(ws.send_text(&name).await?)
    }

    fn application() -> axum::Router {
        axum::Router::new().route("/page", axum::routing::get(async || "a page"))
    }

    async fn dial(address: SocketAddr) -> Raw {
        Raw::over(Box::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn expect_both_answers(mut raw: Raw, mut other: Raw) {
        for raw in [&mut raw, &mut other] {
            raw.write(PAGE.as_bytes()).await;
            assert!(raw.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
            raw.read_exactly("a page".len()).await;
        }
        // With `Connection: close`, the end of the stream marks the end of the answer.
        let nameless = REQUEST.replace("Connection: Upgrade", "Connection: Upgrade, close");
        raw.write(nameless.replace("GET / ", "GET /ws ").as_bytes()).await;
        let (status, _, body) = raw.read_answer().await;
        assert_eq!(status, 400);
        assert!(body.contains(r#""code":"invalid_query""#), "{body}");
        other.write(REQUEST.replace("GET / ", "GET /ws?name=ann ").as_bytes()).await;
        assert!(other.read_head().await.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
        other.expect_text("ann").await;
    }

    #[tokio::test]
    async fn middleware_runs_for_a_later_request_of_a_connection() {
        let server = || named().http(application());
        over_both(server, async |server| {
            expect_both_answers(Raw::reach(&server).await, Raw::reach(&server).await).await;
        })
        .await;
    }

    #[tokio::test]
    async fn middleware_runs_if_the_server_is_mounted_in_an_axum_application() {
        let sockets = wrapped(named()).build().unwrap().into_service();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let application = application().route_service("/ws", sockets);
        tokio::spawn(axum::serve(listener, application).into_future());
        expect_both_answers(dial(address).await, dial(address).await).await;
    }
}

#[tokio::test]
async fn a_query_without_a_required_field_is_answered_with_400() {
    over_both(rooms, async |server| {
        let mut raw = Raw::reach(&server).await;
        let request = REQUEST.replace("GET / ", "GET /rooms/the%20hall?nam=ann ");
        let (status, _, error) = answer(&mut raw, &request).await;
        assert_eq!((status, &error["code"]), (400, &json!("invalid_query")));
        assert_eq!(error["fields"][0]["path"], "name");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_has_the_status_the_params_and_the_retry_delay_of_its_error() {
    let server = refusing(|_| {
        let error = HandlerError::new("too_many", "come back later").status(429);
        Err(error.with("limit", 3).retry_after(Duration::from_millis(1500)))
    });
    over_both(server, async |server| {
        let mut raw = Raw::reach(&server).await;
        let (status, head, error) = answer(&mut raw, REQUEST).await;
        assert_eq!(status, 429);
        assert!(head.starts_with("http/1.1 429 too many requests\r\n"), "{head}");
        assert!(head.contains("\r\nretry-after: 2\r\n"), "{head}");
        let expected = json!({
            "code": "too_many", "message": "come back later", "params": { "limit": 3 },
            "retry_after_ms": 1500,
        });
        assert_eq!(error, expected);
        assert_eq!((server.handle().stats().rejected, server.handle().stats().total), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_401_requests_a_bearer_token() {
    let server = refusing(|_| Err(HandlerError::new("unauthenticated", "who are you").status(401)));
    over_both(server, async |server| {
        let (status, head, _) = answer(&mut Raw::reach(&server).await, REQUEST).await;
        assert_eq!(status, 401);
        assert!(head.contains("\r\nwww-authenticate: bearer\r\n"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_403_by_default_and_500_if_its_status_is_not_an_error() {
    let refusals: [(Check, u16); 2] = [
        (|_| Err(HandlerError::new("no_entry", "no entry")), 403),
        (|_| Err(HandlerError::new("no_entry", "no entry").status(200)), 500),
    ];
    for (refuse, expected) in refusals {
        over_both(refusing(refuse), async |server| {
            let (status, _, error) = answer(&mut Raw::reach(&server).await, REQUEST).await;
            assert_eq!((status, &error["code"]), (expected, &json!("no_entry")));
        })
        .await;
    }
}

#[tokio::test]
async fn a_failure_and_a_panic_reveal_only_an_error_id() {
    let failures: [Check; 2] =
        [|_| Err("the database at 10.0.0.7 is gone")?, |_| panic!("a secret")];
    for fail in failures {
        over_both(refusing(fail), async |server| {
            let (status, _, error) = answer(&mut Raw::reach(&server).await, REQUEST).await;
            assert_eq!((status, &error["code"]), (500, &json!("internal")));
            assert_eq!(error["error_id"].as_str().map(str::len), Some(16));
            assert_eq!(error["message"], "internal error");
        })
        .await;
    }
}

#[tokio::test]
async fn a_refused_request_runs_no_disconnect_handlers_and_does_not_count_as_a_connection() {
    let (ends, ended) = ends();
    let refuse = FromFunction(|handshake| match handshake.headers().contains_key("user-agent") {
        true => Ok(()),
        false => Err(HandlerError::new("no_agent", "who are you")),
    });
    over_both(
        || ends.server().middleware(refuse).limits(limits(|limits| limits.connections = 1)),
        async |server| {
            for _ in 0..3 {
                let (status, ..) = answer(&mut Raw::reach(&server).await, REQUEST).await;
                assert_eq!(status, 403);
            }
            let client = server.try_connect("/", &[("user-agent", "probe/1")]).await.unwrap();
            client.close(1000, "").await;
            ended.next().await;
            assert_eq!(server.handle().stats().total, 1);
        },
    )
    .await;
    drop(ends);
    ended.expect_no_more().await;
}

type Calls = Arc<Mutex<Vec<&'static str>>>;

/// Records its name, and refuses the request if its flag is set.
struct Named(&'static str, Calls, bool);

impl Middleware for Named {
    async fn on_handshake(&self, _handshake: &Handshake) -> Result {
        self.1.lock().unwrap().push(self.0);
        match self.2 {
            true => Err(HandlerError::new(self.0, "refused")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn middleware_runs_from_the_outside_in_until_one_refuses() {
    for (refusing, order) in [
        ("none", &["server", "outer", "outer too", "first", "second"][..]),
        ("outer", &["server", "outer"]),
        ("second", &["server", "outer", "outer too", "first", "second"]),
    ] {
        let calls = Calls::default();
        let named = |name| Named(name, Arc::clone(&calls), name == refusing);
        let server = || {
            let router = Router::new().middleware(named("outer")).middleware(named("outer too"));
            let router = router.include(Router::new().middleware(named("first")));
            let router = router.include(Router::new().middleware(named("second")));
            let elsewhere = Router::new().middleware(named("elsewhere"));
            Server::from(router).route("/elsewhere", elsewhere).middleware(named("server"))
        };
        over_both(server, async |server| {
            let entered = server.try_connect("/", &[]).await;
            assert_eq!(entered.is_ok(), refusing == "none");
            assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), order);
        })
        .await;
    }
}

#[tokio::test]
async fn middleware_does_not_run_for_a_request_that_the_server_refuses() {
    let calls = Calls::default();
    let server = || {
        let router = Router::new().middleware(Named("router", Arc::clone(&calls), false));
        Server::new().route("/here", router)
    };
    over_both(server, async |server| {
        let foreign = "GET /here HTTP/1.1\r\nOrigin: https://evil.example\r\n";
        let requests = [
            (REQUEST.to_owned(), 404),
            (REQUEST.replace("GET / HTTP/1.1\r\n", foreign), 403),
            (REQUEST.replace("GET / ", "GET /here ").replace("Version: 13", "Version: 12"), 426),
        ];
        for (request, expected) in requests {
            let (status, ..) = answer(&mut Raw::reach(&server).await, &request).await;
            assert_eq!(status, expected, "{request}");
        }
        assert!(calls.lock().unwrap().is_empty());
    })
    .await;
}

/// Reports that it was called, and never returns.
struct Stuck(mpsc::Sender<()>);

impl Middleware for Stuck {
    async fn on_handshake(&self, _handshake: &Handshake) -> Result {
        self.0.send(()).await?;
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn middleware_that_does_not_return_is_dropped_at_the_handshake_timeout() {
    let (sender, _called) = mpsc::channel(1);
    let short = limits(|limits| limits.handshake_timeout = Duration::from_secs(3));
    let server = TestServer::new(echo_server().middleware(Stuck(sender)).limits(short));
    let mut raw = Raw::reach(&server).await;
    let started = tokio::time::Instant::now();
    let (status, head, error) = answer(&mut raw, REQUEST).await;
    assert_eq!((status, &error["code"]), (503, &json!("unavailable")));
    assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_middleware_of_a_handshake() {
    let (sender, called) = mpsc::channel(2);
    let called = tokio::sync::Mutex::new(called);
    let server = || echo_server().middleware(Stuck(sender.clone()));
    over_both(server, async |server| {
        let mut raw = Raw::reach(&server).await;
        raw.write(REQUEST.as_bytes()).await;
        called.lock().await.recv().await.unwrap();
        server.shutdown(Duration::from_secs(30)).await.unwrap();
        let (status, ..) = raw.read_answer().await;
        assert_eq!(status, 503);
    })
    .await;
}

#[tokio::test]
async fn the_server_accepts_half_open_connections_up_to_their_limit() {
    let limits = limits(|limits| limits.handshakes = 1);
    let server = TestServer::bind(echo_server().limits(limits)).await;
    let mut slow = Raw::dial(&server).await;
    slow.write(&REQUEST.as_bytes()[..1]).await;
    // The server has read this byte, so it accepts the next connection only after this one.
    let mut next = Raw::dial(&server).await;
    next.write(REQUEST.as_bytes()).await;
    next.expect_silence(Duration::from_millis(100)).await;
    slow.write(&REQUEST.as_bytes()[1..]).await;
    for raw in [&mut slow, &mut next] {
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
    // An accepted connection no longer counts as half-open.
    Raw::open(&server).await;
}

#[tokio::test]
async fn silent_sockets_do_not_block_other_clients() {
    let timeout = Duration::from_secs(3);
    let limits = limits(|limits| {
        limits.handshakes = 5;
        limits.handshake_timeout = timeout;
    });
    let server = TestServer::bind(echo_server().limits(limits)).await;
    let started = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(Raw::dial(&server).await);
    }
    let mut raw = Raw::open(&server).await;
    raw.send_text("hi").await;
    raw.expect_text("hi").await;
    assert!(started.elapsed() < timeout / 2, "{:?}", started.elapsed());
    // The server has dropped the oldest one and still accepts the newest.
    silent[0].expect_end().await;
    silent[29].handshake().await;
}

#[tokio::test]
async fn all_clients_that_connect_at_once_and_send_their_requests_are_accepted() {
    let limits = limits(|limits| limits.handshakes = 5);
    let server = TestServer::bind(echo_server().limits(limits)).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::dial(&server).await;
        raw.write(REQUEST.as_bytes()).await;
        clients.push(raw);
    }
    for raw in &mut clients {
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
    assert_eq!(server.handle().stats().active, 200);
}
