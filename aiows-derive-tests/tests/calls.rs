//! Handlers called like the functions they are: a test can make whatever they take.

use std::net::{IpAddr, Ipv4Addr};

use aiows::testing::{TestCall, answer, next, socket};
use aiows::{
    Bytes, Call, ClientIp, Context, DisconnectReason, FromCall, HandlerError, HeaderMap, Headers,
    Local, Message, MessageId, Middleware, Next, Outcome, Path, Query, RawMessage, Result, Server,
    ServerHandle, State, Text, WebSocket, disconnect, message, middleware,
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

#[expect(clippy::too_many_arguments, reason = "all that shows a message as it came")]
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
async fn a_message_handler_takes_what_a_test_made() -> Result {
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
async fn a_handler_of_frames_takes_what_a_test_made() -> Result {
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
fn a_raw_message_is_refused_as_on_the_wire() {
    for (text, code) in [("{", "invalid_json"), (r#"{"text":"hi"}"#, "invalid_message")] {
        let error = RawMessage::from_text(text).map(drop).expect_err(text);
        assert_eq!(error.code(), code);
    }
    let raw = RawMessage::from_text(r#"{"text":"hi","type":"chat"}"#).expect("a message");
    assert_eq!(raw.parse::<Chat>().map(|chat| chat.text).ok().as_deref(), Some("hi"));
}

struct Door;

impl Middleware for Door {
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
async fn the_hooks_of_a_middleware_are_called_alone() -> Result {
    let (ws, _sent) = socket();
    let open = TestCall::connect(&ws).state(true).call();
    let welcome = next(async |_| json!({ "hello": "you" }));
    assert_eq!(answer(&Door.on_connect(open, welcome).await?), Some(json!({ "hello": "you" })));

    let refused = Door.on_connect(TestCall::connect(&ws).call(), next(async |_| ())).await;
    assert_eq!(refused.expect_err("the door is closed").code(), "closed");

    let end = TestCall::disconnect(&ws, DisconnectReason::Shutdown).call();
    assert_eq!(answer(&Door.on_disconnect(end, next(async |_| ())).await?), None);
    Ok(())
}

#[tokio::test]
async fn what_passes_on_another_text_is_seen_by_the_next() -> Result {
    let loud = middleware::from_fn(|call: Call, next: Next| async move {
        let text = call.text().unwrap_or_default().replace("hi", "HI");
        next.run(call.with_text(text)).await
    });
    let (ws, _sent) = socket();
    let call = TestCall::message(&ws, r#"{"type":"chat","id":1,"text":"hi"}"#).call();
    let said = loud.on_message(call, next(async |call: Call| call.payload::<Chat>())).await?;
    let expected = json!({ "type": "chat", "correlation_id": 1, "text": "HI" });
    assert_eq!(answer(&said), Some(expected));
    Ok(())
}

#[tokio::test]
async fn an_extractor_is_tried_alone() {
    let (ws, _sent) = socket();
    ws.context().insert("ann".to_owned());
    let call = TestCall::connect(&ws).state(7_u8).call();
    assert_eq!(
        Context::<String>::from_call(&call).await.map(|name| name.0).ok().as_deref(),
        Some("ann")
    );
    assert_eq!(call.extract::<State<u8>>().await.map(|number| number.0).ok(), Some(7));
}
