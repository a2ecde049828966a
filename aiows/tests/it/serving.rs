//! The listeners and streams of a server, and the negotiation of subprotocols.

use std::net::SocketAddr;
use std::time::Duration;

use aiows::extract::ClientIp;
use aiows::server::Listener;
use aiows::testing::socket;
use aiows::{Router, Server, WebSocket, message, routes};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::kit::{TestServer, over_both, wrapped};
use crate::raw::{REQUEST, Raw, echo_server};

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

/// Sends a request and returns the subprotocol of the response, and a handler's answer with it.
async fn negotiated(server: &TestServer, headers: &str) -> (Option<String>, String) {
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
async fn the_server_selects_its_first_subprotocol_that_the_client_offers() {
    over_both(versions, async |server| {
        for (headers, name) in [
            ("Sec-WebSocket-Protocol: chat.v1\r\n", "chat.v1"),
            ("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n", "chat.v2"),
            ("Sec-WebSocket-Protocol: a\r\nsec-websocket-protocol: b ,\tchat.v2,\r\n", "chat.v2"),
        ] {
            let expected = (Some(name.to_owned()), format!(r#"{{"protocol":"{name}"}}"#));
            assert_eq!(negotiated(&server, headers).await, expected, "{headers}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_offers_no_known_subprotocol_is_accepted_without_one() {
    let none = (None, r#"{"protocol":null}"#.to_owned());
    over_both(versions, async |server| {
        for headers in [
            "",
            "Sec-WebSocket-Protocol: chat.v3\r\n",
            "Sec-WebSocket-Protocol: CHAT.V2\r\n",
            "Sec-WebSocket-Protocol: chat.v\r\n",
            "Sec-WebSocket-Protocol: \r\n",
        ] {
            assert_eq!(negotiated(&server, headers).await, none, "{headers}");
        }
    })
    .await;
    let plain = TestServer::new(Router::new().routes(routes![protocol]));
    assert_eq!(negotiated(&plain, "Sec-WebSocket-Protocol: chat.v2\r\n").await, none);
    assert_eq!(socket().0.subprotocol(), None);
}

#[tokio::test]
async fn a_client_that_verifies_the_selected_subprotocol_connects() {
    let server = TestServer::new(versions());
    let offer = [("sec-websocket-protocol", "chat.v1")];
    let mut client = server.try_connect("/", &offer).await.unwrap();
    client.send_text(r#"{"type":"protocol"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "protocol": "chat.v1" }));
}

#[test]
fn invalid_and_repeated_subprotocols_are_mistakes() {
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

async fn expect_echo(raw: &mut Raw<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>) {
    raw.handshake().await;
    raw.send_text("hi").await;
    raw.expect_text("hi").await;
}

#[tokio::test]
async fn several_listeners_are_served_and_stopped_together() {
    let listeners = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let app = wrapped(echo_server()).build().unwrap();
    let serving = tokio::spawn(app.clone().serve(listeners));
    assert_eq!(app.handle().ready().await, addresses);
    let mut clients = Vec::new();
    for address in addresses {
        let mut raw = Raw::over(TcpStream::connect(address).await.unwrap());
        expect_echo(&mut raw).await;
        clients.push(raw);
    }
    app.handle().shutdown(Duration::from_secs(5));
    for mut client in clients {
        assert_eq!(client.read_close(1001).await, "Server shutdown");
        client.send_close(1001, "").await;
        client.expect_end().await;
    }
    serving.await.unwrap().unwrap();
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn a_server_listens_on_every_address_of_a_name() {
    let server = wrapped(echo_server());
    let handle = server.handle();
    let running = tokio::spawn(server.run("localhost:0"));
    let addresses = handle.ready().await;
    let resolved: Vec<_> = tokio::net::lookup_host("localhost:0").await.unwrap().collect();
    assert_eq!(addresses.len(), resolved.len());
    for (address, resolved) in addresses.into_iter().zip(resolved) {
        assert_eq!(address.ip(), resolved.ip());
        expect_echo(&mut Raw::over(TcpStream::connect(address).await.unwrap())).await;
    }
    handle.shutdown(Duration::from_secs(5));
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_name_without_an_address_is_an_error_that_quotes_the_name() {
    let error = echo_server().run("nowhere.invalid:0").await.unwrap_err();
    assert!(error.is_bind());
    assert_eq!(error.to_string(), "cannot listen on nowhere.invalid:0");
}

#[tokio::test]
async fn an_app_serves_any_stream() {
    let app = wrapped(echo_server()).build().unwrap();
    let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
    assert_eq!(app.handle().ready().await, []);
    let (client, server) = tokio::io::duplex(64);
    app.serve_stream(server, None);
    let mut raw = Raw::over(client);
    expect_echo(&mut raw).await;
    assert_eq!(app.handle().stats().active, 1);
    app.handle().shutdown(Duration::from_secs(5));
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    raw.send_close(1001, "").await;
    raw.expect_end().await;
    serving.await.unwrap().unwrap();
    let (client, server) = tokio::io::duplex(1024);
    app.serve_stream(server, None);
    let mut late = Raw::over(client);
    late.write(REQUEST.as_bytes()).await;
    assert_eq!(late.read_answer().await.0, 503);
}

#[tokio::test]
async fn a_stream_has_the_client_address_that_it_was_given() {
    #[message("who")]
    async fn who(ClientIp(ip): ClientIp) -> Value {
        json!({ "ip": ip })
    }
    let app = Server::from(Router::new().routes(routes![who])).build().unwrap();
    let (client, server) = tokio::io::duplex(1024);
    app.serve_stream(server, SocketAddr::from(([192, 0, 2, 7], 4000)));
    let mut raw = Raw::over(client);
    raw.handshake().await;
    raw.send_text(r#"{"type":"who"}"#).await;
    raw.expect_text(r#"{"ip":"192.0.2.7"}"#).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_served_alongside_a_port() {
    use tokio::net::{UnixListener, UnixStream};
    #[message("who")]
    async fn who(ws: WebSocket, ip: Option<ClientIp>) -> Value {
        json!({ "ip": ip.map(|ip| ip.0), "peer": ws.peer_addr().is_some() })
    }
    let name = format!("aiows-{}-{}.sock", module_path!().replace("::", "-"), std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    let listeners: [Listener; 2] = [UnixListener::bind(&path).unwrap().into(), port.into()];
    let app = wrapped(Router::new().routes(routes![who]).into()).build().unwrap();
    let serving = tokio::spawn(app.clone().serve(listeners));
    assert_eq!(app.handle().ready().await, [address]);

    let mut local = Raw::over(UnixStream::connect(&path).await.unwrap());
    local.handshake().await;
    local.send_text(r#"{"type":"who"}"#).await;
    local.expect_text(r#"{"ip":null,"peer":false}"#).await;
    let mut remote = Raw::over(TcpStream::connect(address).await.unwrap());
    remote.handshake().await;
    remote.send_text(r#"{"type":"who"}"#).await;
    remote.expect_text(r#"{"ip":"127.0.0.1","peer":true}"#).await;

    app.handle().shutdown(Duration::from_secs(5));
    assert_eq!(local.read_close(1001).await, "Server shutdown");
    local.send_close(1001, "").await;
    local.expect_end().await;
    drop(remote);
    serving.await.unwrap().unwrap();
    assert!(UnixStream::connect(&path).await.is_err());
    std::fs::remove_file(&path).unwrap();
}
