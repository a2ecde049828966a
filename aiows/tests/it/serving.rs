//! What a server listens on, and what it agrees on with its clients.

use aiows::testing::{TestServer, socket};
use aiows::{Router, Server, WebSocket, message, routes};
use serde_json::{Value, json};

use crate::raw::{REQUEST, Raw, over_both};

#[message("protocol")]
async fn protocol(ws: WebSocket) -> Value {
    json!({ "protocol": ws.subprotocol() })
}

fn versions() -> Server {
    Server::from(Router::new().routes(routes![protocol])).subprotocols(["chat.v2", "chat.v1"])
}

/// The sample request with further header lines.
fn request(headers: &str) -> String {
    REQUEST.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"))
}

/// Sends a request and returns the subprotocol of the answer, and what a handler sees of it.
async fn agreed(server: &TestServer, headers: &str) -> (Option<String>, String) {
    let mut raw = Raw::reach(server).await;
    raw.write(request(headers).as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
    let line = lines.next().map(str::to_owned);
    assert_eq!(lines.next(), None);
    raw.send_text(r#"{"type":"protocol"}"#).await;
    (line, raw.read_frame().await.unwrap().text().to_owned())
}

#[tokio::test]
async fn the_servers_first_subprotocol_that_is_offered_is_agreed_on() {
    over_both(versions, async |server| {
        for (headers, name) in [
            ("Sec-WebSocket-Protocol: chat.v1\r\n", "chat.v1"),
            ("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n", "chat.v2"),
            ("Sec-WebSocket-Protocol: a\r\nsec-websocket-protocol: b ,\tchat.v2,\r\n", "chat.v2"),
        ] {
            let expected = (Some(name.to_owned()), format!(r#"{{"protocol":"{name}"}}"#));
            assert_eq!(agreed(&server, headers).await, expected, "{headers}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_offers_no_known_subprotocol_is_let_in_without_one() {
    let none = (None, r#"{"protocol":null}"#.to_owned());
    over_both(versions, async |server| {
        for headers in [
            "",
            "Sec-WebSocket-Protocol: chat.v3\r\n",
            "Sec-WebSocket-Protocol: CHAT.V2\r\n",
            "Sec-WebSocket-Protocol: chat.v\r\n",
            "Sec-WebSocket-Protocol: \r\n",
        ] {
            assert_eq!(agreed(&server, headers).await, none, "{headers}");
        }
    })
    .await;
    let plain = TestServer::new(Router::new().routes(routes![protocol]));
    assert_eq!(agreed(&plain, "Sec-WebSocket-Protocol: chat.v2\r\n").await, none);
    assert_eq!(socket().0.subprotocol(), None);
}

#[tokio::test]
async fn a_client_that_checks_the_agreement_connects() {
    let server = TestServer::new(versions());
    let offer = [("sec-websocket-protocol", "chat.v1")];
    let mut client = server.try_connect("/", &offer).await.unwrap();
    client.send_text(r#"{"type":"protocol"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "protocol": "chat.v1" }));
}

#[test]
fn subprotocols_that_cannot_be_offered_are_mistakes() {
    let server = Server::from(Router::new()).subprotocols(["", "a b", "ok", "ok"]);
    assert_eq!(
        server.build().unwrap_err().mistakes(),
        [
            r#"subprotocol "" is not a token of HTTP"#,
            r#"subprotocol "a b" is not a token of HTTP"#,
            r#"subprotocol "ok" is given twice"#,
        ]
    );
}
