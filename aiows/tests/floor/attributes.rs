//! The routes of [`conversation`](super::conversation), built with attributes.

use aiows::extract::{ClientIp, Headers};
use aiows::{
    Bytes, Context, DisconnectReason, HandlerError, Local, MessageId, Path, Query, RawMessage,
    Result, Router, ServerHandle, State, Text, WebSocket, connect, disconnect, fallback, message,
    routes,
};
use serde_json::{Value, json};

use super::{Answer, Chat, Greeting, Log, Seen, Ticket, Visitor, seen};

pub(super) fn router() -> Router {
    Router::new().routes(routes![
        arrive, leave, greet, count, info, chat, raw, maybe, empty, value, no_object, one_of,
        visible, hidden, panics, close, other,
    ])
}

pub(super) fn raw_router() -> Router {
    Router::new().routes(routes![frames])
}

pub(super) fn text_router() -> Router {
    Router::new().routes(routes![texts])
}

#[connect]
async fn arrive(
    ws: WebSocket,
    Path(name): Path<String>,
    Query(Ticket { ticket }): Query<Ticket>,
    headers: Headers,
) -> Value {
    ws.context().insert(Visitor { name: name.clone() });
    json!({ "name": name, "ticket": ticket, "host": headers.get("host").is_some() })
}

#[disconnect]
async fn leave(State(log): State<Log>, reason: DisconnectReason) -> Result {
    Ok(log.send(reason.to_string()).await?)
}

#[message("greet")]
async fn greet(Greeting(greeting): Greeting) -> Seen {
    seen(greeting)
}

#[message("count")]
async fn count(mut count: Local<u32>) -> Value {
    *count += 1;
    json!({ "count": *count })
}

#[message("info")]
async fn info(
    ip: Option<ClientIp>,
    absent: Option<Context<u8>>,
    server: ServerHandle,
    ws: WebSocket,
) -> Value {
    let open = server.stats().active == 1 && !ws.is_closed();
    json!({ "ip": ip.is_some(), "absent": absent.is_none(), "open": open })
}

#[message("chat")]
async fn chat(chat: Chat) -> Chat {
    chat
}

#[message("raw")]
async fn raw(id: MessageId, message: RawMessage) -> Result<Value> {
    Ok(json!({ "raw": message.json()?, "request": id }))
}

#[message("maybe")]
async fn maybe(id: Option<MessageId>) -> Option<Seen> {
    id.is_none().then(|| seen("no id"))
}

#[message("empty")]
async fn empty() {}

#[message("value")]
async fn value() -> Value {
    json!({ "free": ["form", 1] })
}

#[message("no.object")]
async fn no_object() -> Value {
    Value::Null
}

#[message("one.of")]
async fn one_of(message: RawMessage) -> Result<Answer> {
    Ok(match message.json()?["echo"].take() {
        Value::String(text) => Answer::Chat(Chat { text }),
        _ => Answer::Seen(seen("one of")),
    })
}

#[message("visible")]
async fn visible() -> Result {
    Err(HandlerError::new("room_full", "the room is full").with("capacity", 50))
}

#[message("hidden")]
async fn hidden() -> Result<Seen> {
    Ok(seen(std::fs::read_to_string("/no/such/file")?))
}

#[message("panic")]
async fn panics() {
    panic!("on purpose")
}

#[message("close")]
async fn close() -> Result {
    Err(HandlerError::new("enough", "go away").close(4000))
}

#[fallback]
async fn other() -> Seen {
    seen("a fallback")
}

#[fallback]
async fn frames(ws: WebSocket, bytes: Bytes) -> Result {
    Ok(ws.send_binary(&bytes).await?)
}

#[fallback]
async fn texts(Text(text): Text) -> Seen {
    seen(text)
}
