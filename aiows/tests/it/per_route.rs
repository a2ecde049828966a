//! Limits and subprotocols of a single route.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use aiows::server::RouteLimits;
use aiows::{
    DisconnectReason, Limits, Router, Server, Text, WebSocket, connect, fallback, message, routes,
};

use super::kit::{TestServer, over_both};
use crate::raw::{Raw, ends, limits, masked};

const TEXT: u8 = 0x81;
const SECOND: Duration = Duration::from_secs(1);

#[fallback]
async fn echo(ws: WebSocket, Text(text): Text) -> aiows::Result {
    Ok(ws.send_text(&text).await?)
}

fn echoing() -> Router {
    Router::new().routes(routes![echo])
}

fn own(change: impl FnOnce(&mut RouteLimits)) -> RouteLimits {
    let mut limits = RouteLimits::default();
    change(&mut limits);
    limits
}

/// Completes the handshake at a path, offering subprotocols; returns the negotiated one.
async fn join_at(server: &TestServer, path: &str, offered: &str) -> (Raw, Option<String>) {
    let mut raw = Raw::reach(server).await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offered}\r\n"
    );
    raw.write(request.as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let negotiated = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
    let negotiated = negotiated.map(|(_, value)| value.to_owned());
    (raw, negotiated)
}

async fn join(server: &TestServer, path: &str) -> Raw {
    join_at(server, path, "").await.0
}

#[tokio::test]
async fn each_route_negotiates_its_own_subprotocols() {
    #[connect]
    async fn send_protocol(ws: WebSocket) -> Value {
        json!({ "protocol": ws.subprotocol() })
    }
    let router = || Router::new().routes(routes![send_protocol]);
    let server = || {
        Server::from(router())
            .route("/mqtt", router().subprotocols(["mqtt"]))
            .route("/ocpp/{station}", router().subprotocols(["ocpp2.0.1", "ocpp1.6"]))
            .route("/none", router().subprotocols(Vec::<String>::new()))
            .route("/plain", router())
            .subprotocols(["chat"])
    };
    over_both(server, async |server| {
        for (path, expected) in [
            ("/mqtt", Some("mqtt")),
            ("/ocpp/7", Some("ocpp1.6")),
            ("/none", None),
            ("/plain", Some("chat")),
            ("/elsewhere", Some("chat")),
        ] {
            let offered = "Sec-WebSocket-Protocol: chat, ocpp1.6, mqtt\r\n";
            let (mut raw, negotiated) = join_at(&server, path, offered).await;
            assert_eq!(negotiated.as_deref(), expected, "{path}");
            assert_eq!(raw.read_json().await, json!({ "protocol": expected }));
        }
        let offered = "Sec-WebSocket-Protocol: ocpp1.6\r\n";
        assert_eq!(join_at(&server, "/mqtt", offered).await.1, None);
    })
    .await;
}

#[tokio::test]
async fn each_route_has_its_own_message_size_limit_and_names_it_in_the_close_reason() {
    let server = || {
        Server::from(echoing())
            .route("/small", echoing().limits(own(|own| own.message_size = Some(1000))))
            .route("/large", echoing().limits(own(|own| own.message_size = Some(1 << 20))))
            .limits(limits(|limits| limits.message_size = 65_536))
    };
    over_both(server, async |server| {
        for (path, size) in [("/small", 1000), ("/large", 1 << 20), ("/other", 65_536)] {
            let mut raw = join(&server, path).await;
            // All connections of a thread share one decoder.
            let mut others = [join(&server, "/small").await, join(&server, "/large").await];
            for other in &mut others {
                other.send_text("a").await;
                other.expect_text("a").await;
            }
            let text = "x".repeat(size);
            raw.write_while_reading(&masked(TEXT, text.as_bytes())).await;
            raw.expect_text(&text).await;
            raw.write_while_reading(&masked(TEXT, &vec![b'x'; size + 1])).await;
            let reason = format!("Message larger than {size} bytes");
            assert_eq!(raw.read_close(1009).await, reason);
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_that_a_route_does_not_set_is_inherited_from_the_server() {
    let route = echoing().limits(own(|own| own.fragments = Some(2)));
    let server = Server::new().route("/", route).limits(limits(|limits| limits.message_size = 10));
    let server = TestServer::new(server);
    let mut raw = join(&server, "/").await;
    raw.send_text(&"x".repeat(11)).await;
    assert_eq!(raw.read_close(1009).await, "Message larger than 10 bytes");
    let mut raw = join(&server, "/").await;
    raw.write(&[masked(0x01, b"a"), masked(0, b"b"), masked(0x80, b"c")].concat()).await;
    assert_eq!(raw.read_close(1009).await, "Message in more than 2 fragments");
}

#[tokio::test]
async fn each_route_has_its_own_nesting_limit() {
    #[message("say")]
    async fn say() {}
    let router = || Router::new().routes(routes![say]);
    let tight = own(|own| own.nesting = Some(2));
    let server = Server::new().route("/tight", router().limits(tight)).route("/wide", router());
    let server = TestServer::new(server);
    for (path, code) in [("/tight", json!("invalid_json")), ("/wide", Value::Null)] {
        let mut client = server.connect_to(path).await;
        client.send_text(r#"{"type":"say","id":1,"a":[[]]}"#).await;
        assert_eq!(client.recv_json().await["code"], code, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_clients_are_dropped_after_the_ping_timeout_of_their_route() {
    let (ends, ended) = ends();
    let quick = own(|own| {
        own.ping_interval = Some(SECOND);
        own.ping_timeout = Some(2 * SECOND);
    });
    let quick = echoing().include(ends.router()).limits(quick);
    let server = Server::from(echoing()).route("/quick", quick);
    let server = TestServer::new(server);
    let (mut quick, mut slow) = (server.connect_to("/quick").await, server.connect().await);
    quick.hang();
    let start = Instant::now();
    assert_eq!(ended.next().await, DisconnectReason::Timeout);
    assert_eq!(start.elapsed().as_secs(), 3);
    slow.send_text("still here").await;
    assert_eq!(slow.recv_text().await, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_connect_handler_has_the_connect_timeout_of_its_route() {
    #[connect]
    async fn wait() {
        sleep(3 * SECOND).await;
    }
    let router = || Router::new().routes(routes![wait, echo]);
    let short = router().limits(own(|own| own.connect_timeout = Some(SECOND)));
    let server = TestServer::new(Server::new().route("/short", short).route("/long", router()));
    assert_eq!(server.connect_to("/short").await.expect_closed(1013).await, "Connect timed out");
    let mut client = server.connect_to("/long").await;
    client.send_text("a").await;
    assert_eq!(client.recv_text().await, "a");
}

fn mistakes(server: Server) -> Vec<String> {
    server.build().map_or_else(|error| error.mistakes().to_vec(), |_| Vec::new())
}

fn misplaced(method: &str, subject: &str) -> String {
    format!(
        "{subject} apply to whole connections, but an included router sets its own: call \
         `Router::{method}` on the outermost router, which has the path"
    )
}

#[test]
fn only_the_outermost_router_may_have_limits_and_subprotocols() {
    let limited = || echoing().limits(own(|own| own.fragments = Some(9)));
    let named = || Router::new().subprotocols(["chat"]);
    let (limits, subprotocols) =
        (misplaced("limits", "Limits"), misplaced("subprotocols", "Subprotocols"));
    for (server, expected) in [
        (Server::from(limited()), vec![]),
        (Server::new().route("/a", limited()).route("/b", named()), vec![]),
        (Server::from(Router::new().include(limited())), vec![limits.clone()]),
        (Server::new().route("/", Router::new().nest("a.", limited())), vec![limits.clone()]),
        (
            Server::new().route("/", limited().include(Router::new().include(named()))),
            vec![subprotocols.clone()],
        ),
        // Two routers share the connections of all other paths.
        (Server::from(limited()).include_router(Router::new()), vec![limits]),
        (Server::from(Router::new()).include_router(named()), vec![subprotocols]),
    ] {
        assert_eq!(mistakes(server), expected);
    }
}

#[test]
fn repeated_or_invalid_limits_and_subprotocols_of_a_route_are_mistakes() {
    let once = |method: &str| {
        format!(
            "`Router::{method}` is called more than once, and each call would replace the one \
             before: combine them into one call"
        )
    };
    let empty = RouteLimits::default;
    let limited = Router::new().limits(empty()).limits(empty());
    assert_eq!(mistakes(Server::new().route("/", limited)), [once("limits")]);
    let named = Router::new().subprotocols(["a"]).subprotocols(["b"]);
    assert_eq!(mistakes(named.into()), [once("subprotocols")]);
    let zero = own(|own| {
        own.message_size = Some(0);
        own.ping_timeout = Some(Duration::ZERO);
    });
    let wrong = Router::new().limits(zero).subprotocols(["a b"]);
    assert_eq!(
        mistakes(wrong.into()),
        [
            "limit `message_size` must not be zero, nor may that of a router",
            "limit `ping_timeout` must not be zero, nor may that of a router",
            "subprotocol \"a b\" is not a token of HTTP",
        ]
    );
    // Default limits on the server and on a route are not a mistake.
    let route = Router::new().limits(empty());
    let server = Server::new().route("/", route).limits(Limits::default());
    assert_eq!(mistakes(server), [""; 0]);
}
