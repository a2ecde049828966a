//! Extractors of handlers.

use aiows::extract::{Call, Extraction, FromCall, Needs};
use aiows::{
    Context, HandlerError, Local, MessageId, RawMessage, Result, Router, Server, ServerHandle,
    State, Text, WebSocket, connect, disconnect, message, routes,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::kit::TestServer;

#[derive(Clone)]
struct Name(&'static str);

async fn answer(router: Router, text: &str) -> Value {
    let server = TestServer::new(Server::new().include_router(router).state(Name("server")));
    let mut client = server.connect().await;
    client.send_text(text).await;
    client.recv_json().await
}

#[message("name")]
async fn name(State(name): State<Name>) -> Value {
    json!({ "name": name.0 })
}

#[tokio::test]
async fn a_router_overrides_the_servers_state_for_its_handlers() {
    let own = Router::new().routes(routes![name]).state(Name("router"));
    assert_eq!(answer(own, r#"{"type":"name"}"#).await, json!({ "name": "router" }));
    let plain = Router::new().routes(routes![name]);
    assert_eq!(answer(plain, r#"{"type":"name"}"#).await, json!({ "name": "server" }));
    let outer = Router::new().state(Name("outer")).include(Router::new().routes(routes![name]));
    assert_eq!(answer(outer, r#"{"type":"name"}"#).await, json!({ "name": "outer" }));
}

#[tokio::test]
async fn all_handlers_of_a_connection_see_its_context() {
    #[derive(Clone, Debug, PartialEq)]
    struct Nick(String);
    #[connect]
    async fn arrive(ws: WebSocket) {
        ws.context().insert(Nick("ann".into()));
    }
    #[message("who")]
    async fn who(Context(nick): Context<Nick>) -> Value {
        json!({ "nick": nick.0 })
    }
    #[message("drop")]
    async fn forget(ws: WebSocket, nick: Option<Context<Nick>>) -> Value {
        json!({ "had": nick.is_some(), "removed": ws.context().remove::<Nick>().is_some() })
    }
    #[disconnect]
    async fn leave(nick: Option<Context<Nick>>, State(log): State<mpsc::Sender<bool>>) -> Result {
        Ok(log.send(nick.is_some()).await?)
    }
    let (log, mut left) = mpsc::channel(1);
    let router = Router::new().routes(routes![arrive, who, forget, leave]).state(log);
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    let mut other = server.connect().await;
    client.send_text(r#"{"type":"who"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "nick": "ann" }));
    client.send_text(r#"{"type":"drop"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "had": true, "removed": true }));
    client.send_text(r#"{"type":"who"}"#).await;
    assert_eq!(client.recv_json().await["code"], "internal");
    client.send_text(r#"{"type":"drop"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "had": false, "removed": false }));
    other.send_text(r#"{"type":"who"}"#).await;
    assert_eq!(other.recv_json().await, json!({ "nick": "ann" }));
    client.close(1000, "").await;
    assert_eq!(left.recv().await, Some(false));
    other.close(1000, "").await;
    assert_eq!(left.recv().await, Some(true));
}

#[tokio::test]
async fn a_local_is_kept_per_connection_and_survives_a_panic() {
    #[message("count")]
    async fn count(mut seen: Local<u64>, raw: RawMessage) -> Value {
        *seen += 1;
        assert_ne!(raw.json().unwrap()["panic"], true);
        json!({ "seen": *seen })
    }
    let server = TestServer::new(Router::new().routes(routes![count]));
    let mut client = server.connect().await;
    let mut other = server.connect().await;
    for expected in 1..=2 {
        client.send_text(r#"{"type":"count"}"#).await;
        assert_eq!(client.recv_json().await, json!({ "seen": expected }));
    }
    client.send_text(r#"{"type":"count","panic":true}"#).await;
    assert_eq!(client.recv_json().await["code"], "internal");
    client.send_text(r#"{"type":"count"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "seen": 4 }));
    other.send_text(r#"{"type":"count"}"#).await;
    assert_eq!(other.recv_json().await, json!({ "seen": 1 }));
}

#[tokio::test]
async fn a_message_can_be_taken_raw_and_parsed_later() {
    #[derive(aiows::Message, serde::Deserialize)]
    struct Say {
        text: String,
    }
    #[message("say")]
    async fn say(raw: RawMessage, Text(text): Text, bytes: aiows::Bytes) -> Result<Value> {
        let parsed: Say = raw.parse()?;
        Ok(json!({
            "text": parsed.text, "type": raw.message_type(), "id": raw.id(),
            "raw": raw.text() == text, "bytes": bytes.len(), "extra": raw.json()?["extra"],
        }))
    }
    let router = || Router::new().routes(routes![say]);
    let text = r#"{"id":"i","extra":[1],"text":"hi","type":"say"}"#;
    let expected = json!({
        "text": "hi", "type": "say", "id": "i", "raw": true, "bytes": text.len(), "extra": [1],
        "correlation_id": "i",
    });
    assert_eq!(answer(router(), text).await, expected);
    let refused = answer(router(), r#"{"type":"say"}"#).await;
    assert_eq!(refused["fields"][0]["path"], "text");
}

#[tokio::test]
async fn a_handler_that_needs_an_id_refuses_a_message_without_one() {
    #[message("job")]
    async fn job(id: MessageId) -> Value {
        json!({ "job": id })
    }
    let router = || Router::new().routes(routes![job]);
    let done = answer(router(), r#"{"type":"job","id":3}"#).await;
    assert_eq!(done, json!({ "job": 3, "correlation_id": 3 }));
    let refused = answer(router(), r#"{"type":"job"}"#).await;
    assert_eq!(refused["code"], "invalid_message");
    assert_eq!(refused["message"], "this message needs an `id`");
}

#[tokio::test]
async fn extractors_before_the_payload_find_an_id_behind_it() {
    #[derive(aiows::Message, serde::Deserialize)]
    struct Say {
        text: String,
    }
    #[message("say")]
    async fn say(id: Option<MessageId>, say: Say) -> Value {
        json!({ "id": id, "text": say.text })
    }
    let router = Router::new().routes(routes![say]);
    let answered = answer(router, r#"{"type":"say","text":"hi","id":9}"#).await;
    assert_eq!(answered, json!({ "id": 9, "text": "hi", "correlation_id": 9 }));
}

struct Tenant(String);

impl FromCall for Tenant {
    fn from_call(call: &Call) -> Extraction<Self> {
        let call = call.clone();
        Extraction::pending(async move {
            tokio::task::yield_now().await;
            let raw: RawMessage = call.extract().await?;
            match raw.json()?["tenant"].as_str() {
                Some(name) => Ok(Self(name.to_owned())),
                None => Err(HandlerError::new("no_tenant", "name a tenant")),
            }
        })
    }

    fn needs(needs: &mut Needs) {
        needs.message::<Self>();
    }
}

#[tokio::test]
async fn an_extractor_of_the_application_may_await_and_refuse() {
    #[derive(aiows::Message, serde::Deserialize)]
    struct Say {
        text: String,
    }
    #[message("say")]
    async fn say(tenant: Tenant, say: Say) -> Value {
        json!({ "tenant": tenant.0, "text": say.text })
    }
    let router = || Router::new().routes(routes![say]);
    let answered = answer(router(), r#"{"type":"say","text":"hi","tenant":"a"}"#).await;
    assert_eq!(answered, json!({ "tenant": "a", "text": "hi" }));
    let refused = answer(router(), r#"{"type":"say","id":7}"#).await;
    let expected = json!({
        "type": "error", "code": "no_tenant", "message": "name a tenant", "correlation_id": 7,
        "message_type": "say",
    });
    assert_eq!(refused, expected);
    // An invalid head takes precedence over the error of an extractor.
    let broken = answer(router(), r#"{"type":"say","text":"hi""#).await;
    assert_eq!(broken["code"], "invalid_json");
}

#[tokio::test]
async fn a_handler_can_read_the_state_of_the_server() {
    #[message("stats")]
    async fn stats(server: ServerHandle, ws: WebSocket) -> Value {
        json!({
            "active": server.stats().active, "stopping": server.is_shutting_down(),
            "has_address": ws.peer_addr().is_some(), "open": !ws.is_closed(),
        })
    }
    let expected = json!({ "active": 1, "stopping": false, "has_address": false, "open": true });
    assert_eq!(answer(Router::new().routes(routes![stats]), r#"{"type":"stats"}"#).await, expected);
}

#[tokio::test]
async fn the_first_argument_that_fails_determines_the_answer() {
    #[derive(Clone)]
    struct Nick;
    #[derive(aiows::Message, serde::Deserialize)]
    struct Say {
        text: String,
    }
    #[message("say")]
    async fn say(_nick: Context<Nick>, _id: MessageId, _say: Say) {}
    let routes = || Router::new().routes(routes![say]);
    assert_eq!(answer(routes(), r#"{"type":"say"}"#).await["code"], "internal");
    #[connect]
    async fn arrive(ws: WebSocket) {
        ws.context().insert(Nick);
    }
    let named = routes().routes(routes![arrive]);
    assert_eq!(answer(named.clone(), r#"{"type":"say"}"#).await["code"], "invalid_message");
    assert_eq!(answer(named, r#"{"type":"say","id":1}"#).await["code"], "invalid_payload");
}

#[tokio::test]
async fn a_local_that_was_moved_into_a_task_is_missing_until_the_task_ends() {
    #[message("keep")]
    async fn keep(kept: Local<u64>) {
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
    }
    let server = TestServer::new(Router::new().routes(routes![keep]));
    let mut client = server.connect().await;
    for expected in ["ack", "error", "error"] {
        client.send_text(r#"{"type":"keep","id":1}"#).await;
        assert_eq!(client.recv_json().await["type"], expected);
    }
}
