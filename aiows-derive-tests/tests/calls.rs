//! Handlers called as plain functions, with arguments that the test creates.

use std::net::{IpAddr, Ipv4Addr};

use aiows::extract::{Call, ClientIp, FromCall, Headers};
use aiows::middleware::{self, Middleware, Next};
use aiows::routing::Outcome;
use aiows::testing::{TestCall, answer, next, socket};
use aiows::{
    Bytes, Context, DisconnectReason, HandlerError, HeaderMap, Local, Message, MessageId, Path,
    Query, RawMessage, Result, Server, ServerHandle, State, Text, WebSocket, disconnect, message,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Deserialize, Message, PartialEq, Serialize)]
struct Chat {
    text: String,
}

#[message("chat")]
async fn chat(
    ws: WebSocket,
    State(word): State<&'static str>,
    Context(name): Context<String>,
    mut count: Local<u32>,
    id: Option<MessageId>,
    server: ServerHandle,
    chat: Chat,
) -> Result<Value> {
    *count += 1;
    ws.send(&chat).await?;
    Ok(json!({
        "greeting": format!("{word} {name}"), "count": *count, "id": id,
        "connections": server.stats().active,
    }))
}

#[expect(clippy::too_many_arguments, reason = "every extractor that exposes the received frame")]
#[message("dance")]
async fn frames(
    call: Call,
    raw: RawMessage,
    Text(text): Text,
    bytes: Bytes,
    Path(room): Path<String>,
    Query((key, _)): Query<(String, u8)>,
    headers: Headers,
    ClientIp(ip): ClientIp,
) -> Value {
    json!({
        "text": call.text() == Some(raw.text()) && raw.text() == text && *bytes == *text.as_bytes(),
        "type": raw.message_type(), "id": raw.id(), "room": room, "key": key,
        "host": headers["host"].to_str().ok(), "ip": ip,
    })
}

#[disconnect]
async fn leave(ws: WebSocket, reason: DisconnectReason) -> Value {
    json!(format!("{} {reason}", ws.is_closed()))
}

#[tokio::test]
async fn a_message_handler_takes_arguments_created_by_a_test() -> Result {
    let (ws, mut sent) = socket();
    let hi = || Chat { text: "hi".to_owned() };
    let server = Server::new().handle();
    let name = Context("ann".to_owned());
    let id = Some(MessageId::from("a7"));
    let returned = chat(ws, State("hello"), name, Local::from(4), id, server, hi()).await?;
    let expected = json!({ "greeting": "hello ann", "count": 5, "id": "a7", "connections": 0 });
    assert_eq!(returned, expected);
    assert_eq!(sent.take(), Some(hi()));
    Ok(())
}

#[tokio::test]
async fn a_handler_takes_frames_and_request_data_created_by_a_test() -> Result {
    const TEXT: &str = r#"{"type":"dance","id":7}"#;
    let (ws, _sent) = socket();
    let mut headers = HeaderMap::new();
    headers.insert("host", "example.org".parse()?);
    let returned = frames(
        TestCall::message(&ws, TEXT).call(),
        RawMessage::from_text(TEXT)?,
        Text(TEXT.to_owned()),
        Bytes::from_static(TEXT.as_bytes()),
        Path("lobby".to_owned()),
        Query(("k".to_owned(), 1)),
        Headers::from(headers),
        ClientIp(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    );
    let expected = json!({
        "text": true, "type": "dance", "id": 7, "room": "lobby", "key": "k",
        "host": "example.org", "ip": "127.0.0.1",
    });
    assert_eq!(returned.await, expected);
    Ok(())
}

#[tokio::test]
async fn a_disconnect_handler_takes_any_reason() {
    let closed = DisconnectReason::Closed { code: 4000.into(), reason: "enough".to_owned() };
    for (reason, text) in [
        (DisconnectReason::Peer { code: None, reason: String::new() }, "false connection lost"),
        (closed, "false closed (4000): enough"),
        (DisconnectReason::Timeout, "false timed out"),
    ] {
        assert_eq!(leave(socket().0, reason).await, text);
    }
}

#[test]
fn an_invalid_raw_message_is_rejected_as_on_the_wire() {
    for (text, code) in [("{", "invalid_json"), (r#"{"text":"hi"}"#, "invalid_message")] {
        let error = RawMessage::from_text(text).map(drop).expect_err(text);
        assert_eq!(error.code(), code);
    }
    let raw = RawMessage::from_text(r#"{"text":"hi","type":"chat"}"#).expect("a message");
    assert_eq!(raw.parse::<Chat>().map(|chat| chat.text).ok().as_deref(), Some("hi"));
}

struct Gate;

impl Middleware for Gate {
    async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome> {
        match call.state::<bool>() {
            Some(true) => next.run(call).await,
            _ => Err(HandlerError::new("closed", "come back later")),
        }
    }

    async fn on_disconnect(&self, call: Call, next: Next) -> Result<Outcome> {
        let reason: DisconnectReason = call.extract().await?;
        assert_eq!(reason, DisconnectReason::Shutdown);
        next.run(call).await
    }
}

#[tokio::test]
async fn the_methods_of_a_middleware_can_be_called_without_a_server() -> Result {
    let (ws, _sent) = socket();
    let open = TestCall::connect(&ws).state(true).call();
    let welcome = next(async |_| json!({ "hello": "you" }));
    assert_eq!(answer(&Gate.on_connect(open, welcome).await?), Some(json!({ "hello": "you" })));

    let rejected = Gate.on_connect(TestCall::connect(&ws).call(), next(async |_| ())).await;
    assert_eq!(rejected.expect_err("the gate is closed").code(), "closed");

    let end = TestCall::disconnect(&ws, DisconnectReason::Shutdown).call();
    assert_eq!(answer(&Gate.on_disconnect(end, next(async |_| ())).await?), None);
    Ok(())
}

#[tokio::test]
async fn the_handler_receives_the_text_that_a_middleware_passes_on() -> Result {
    let loud = middleware::from_fn(|call: Call, next: Next| async move {
        let text = call.text().unwrap_or_default().replace("hi", "HI");
        next.run(call.with_text(text)).await
    });
    let (ws, _sent) = socket();
    let call = TestCall::message(&ws, r#"{"type":"chat","id":1,"text":"hi"}"#).call();
    let outcome = loud.on_message(call, next(async |call: Call| call.payload::<Chat>())).await?;
    let expected = json!({ "type": "chat", "correlation_id": 1, "text": "HI" });
    assert_eq!(answer(&outcome), Some(expected));
    Ok(())
}

#[tokio::test]
async fn an_extractor_can_be_tested_without_a_server() {
    let (ws, _sent) = socket();
    ws.context().insert("ann".to_owned());
    let call = TestCall::connect(&ws).state(7_u8).call();
    assert_eq!(
        Context::<String>::from_call(&call).await.map(|name| name.0).ok().as_deref(),
        Some("ann")
    );
    assert_eq!(call.extract::<State<u8>>().await.map(|number| number.0).ok(), Some(7));
}
