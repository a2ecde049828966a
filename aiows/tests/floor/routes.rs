//! The routes of [`conversation`](super::conversation), built from closures.

use aiows::extract::{Call, ClientIp, Headers};
use aiows::routing::Route;
use aiows::{
    Bytes, Context, DisconnectReason, HandlerError, Local, MessageId, Path, Query, RawMessage,
    Result, Router, ServerHandle, State, Text, WebSocket,
};
use serde_json::{Value, json};

use super::{Answer, Chat, Greeting, Log, Seen, Ticket, Visitor, seen};

pub(super) fn router() -> Router {
    let router = [connection(), values(), message(), returns()].into_iter().flatten().collect();
    Router::new().routes(router).fallback(async |_| seen("a fallback"))
}

pub(super) fn raw_router() -> Router {
    let frames = Route::fallback(async |call: Call| -> Result {
        let bytes = call.extract::<Bytes>().await?;
        call.websocket().send_binary(&bytes).await?;
        Ok(())
    });
    Router::new().route(frames.needing::<Bytes>())
}

pub(super) fn text_router() -> Router {
    let texts = Route::fallback(|call: Call| async move {
        call.extract::<Text>().await.map(|Text(text)| seen(text))
    });
    Router::new().route(texts.needing::<Text>())
}

fn connection() -> Vec<Route> {
    let arrive = Route::connect(async |call: Call| -> Result<Value> {
        let Path(name) = call.extract::<Path<String>>().await?;
        let Query(Ticket { ticket }) = call.extract().await?;
        let headers: Headers = call.extract().await?;
        call.websocket().context().insert(Visitor { name: name.clone() });
        let host = headers.get("host").is_some();
        Ok(json!({ "name": name, "ticket": ticket, "host": host }))
    });
    let leave = Route::disconnect(async |call: Call| -> Result {
        let State(log) = call.extract::<State<Log>>().await?;
        let reason: DisconnectReason = call.extract().await?;
        Ok(log.send(reason.to_string()).await?)
    });
    vec![
        arrive.needing::<Path<String>>().needing::<Query<Ticket>>().needing::<Headers>(),
        leave.needing::<State<Log>>().needing::<DisconnectReason>(),
    ]
}

fn values() -> Vec<Route> {
    let greet = Route::message("greet", async |call: Call| -> Result<Seen> {
        let Greeting(greeting) = call.extract().await?;
        Ok(seen(greeting))
    });
    let count = Route::message("count", async |call: Call| -> Result<Value> {
        let mut count: Local<u32> = call.extract().await?;
        *count += 1;
        Ok(json!({ "count": *count }))
    });
    let info = Route::message("info", async |call: Call| -> Result<Value> {
        let ip: Option<ClientIp> = call.extract().await?;
        let absent: Option<Context<u8>> = call.extract().await?;
        let server: ServerHandle = call.extract().await?;
        let ws: WebSocket = call.extract().await?;
        let open = server.stats().active == 1 && !ws.is_closed();
        Ok(json!({ "ip": ip.is_some(), "absent": absent.is_none(), "open": open }))
    });
    vec![greet.needing::<Greeting>(), count.needing::<Local<u32>>(), info.needing::<ServerHandle>()]
}

fn message() -> Vec<Route> {
    let chat = Route::message("chat", async |call: Call| call.payload::<Chat>());
    let raw = Route::message("raw", async |call: Call| -> Result<Value> {
        let id: MessageId = call.extract().await?;
        let message: RawMessage = call.extract().await?;
        Ok(json!({ "raw": message.json()?, "request": id }))
    });
    let maybe = Route::message("maybe", async |call: Call| -> Result<Option<Seen>> {
        let id: Option<MessageId> = call.extract().await?;
        Ok(id.is_none().then(|| seen("no id")))
    });
    vec![
        chat.receiving::<Chat>(),
        raw.needing::<MessageId>().needing::<RawMessage>(),
        maybe.needing::<Option<MessageId>>(),
    ]
}

fn returns() -> Vec<Route> {
    vec![
        Route::message("empty", async |_| ()),
        Route::message("value", async |_| json!({ "free": ["form", 1] })),
        Route::message("no.object", async |_| Value::Null),
        Route::message("one.of", async |call: Call| -> Result<Answer> {
            match call.extract::<RawMessage>().await?.json()?["echo"].take() {
                Value::String(text) => Ok(Answer::Chat(Chat { text })),
                _ => Ok(Answer::Seen(seen("one of"))),
            }
        }),
        Route::message("visible", async |_| -> Result {
            Err(HandlerError::new("room_full", "the room is full").with("capacity", 50))
        }),
        Route::message("hidden", async |_| -> Result<Seen> {
            Ok(seen(std::fs::read_to_string("/no/such/file")?))
        }),
        Route::message("panic", async |_| -> Result { panic!("on purpose") }),
        Route::message("close", async |_| -> Result {
            Err(HandlerError::new("enough", "go away").close(4000))
        }),
    ]
}
