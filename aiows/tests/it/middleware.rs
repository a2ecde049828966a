//! Middleware: its order, the handlers it wraps, and the values it can change.

use std::sync::{Arc, Mutex};

use aiows::extract::Call;
use aiows::middleware::from_fn;
use aiows::middleware::{Middleware, Next};
use aiows::routing::{IntoOutcome, Outcome, Route};
use aiows::testing::{TestClient, TestServer};
use aiows::{
    DisconnectReason, HandlerError, Message, Router, Server, State, WebSocket, connect, disconnect,
    fallback, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Returned = Result<Outcome, HandlerError>;

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Say {
    text: String,
}

#[message("say")]
async fn say(say: Say) -> Say {
    say
}

/// The events of a test, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Logs when it is entered and left.
struct Trace(&'static str, Log);

impl Trace {
    async fn around(&self, stage: &str, call: Call, next: Next) -> Returned {
        self.1.add(format!("{stage} {}", self.0));
        let outcome = next.run(call).await;
        let how = if outcome.is_ok() { "" } else { " failed" };
        self.1.add(format!("{stage} {} back{how}", self.0));
        outcome
    }
}

impl Middleware for Trace {
    async fn on_connect(&self, call: Call, next: Next) -> Returned {
        self.around("connect", call, next).await
    }

    async fn on_message(&self, call: Call, next: Next) -> Returned {
        self.around("message", call, next).await
    }

    async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
        self.around("disconnect", call, next).await
    }

    async fn on_error(&self, call: &Call, error: HandlerError) -> HandlerError {
        let message_type = call.message_type().unwrap_or_default();
        self.1.add(format!("error {} {} {message_type}", self.0, error.code()));
        error
    }
}

#[connect]
async fn enter(State(log): State<Log>) {
    log.add("connect handler");
}

#[message("work")]
async fn work(State(log): State<Log>) {
    log.add("message handler");
}

#[message("fail")]
async fn fail() -> Result<(), HandlerError> {
    Err(HandlerError::new("busy", "not now"))
}

#[message("panic")]
async fn panics() {
    panic!("no luck");
}

#[disconnect(always)]
async fn leave(State(log): State<Log>) {
    log.add("disconnect handler");
}

#[derive(Clone)]
struct Ended(mpsc::Sender<DisconnectReason>);

#[disconnect(always)]
async fn report(reason: DisconnectReason, State(ended): State<Ended>) {
    ended.0.send(reason).await.unwrap();
}

async fn send_and_receive(client: &mut TestClient, text: &str) -> Value {
    client.send_text(text).await;
    client.recv_json().await
}

#[tokio::test]
async fn middleware_runs_from_the_server_through_the_outer_router_to_the_inner_one_and_back() {
    let log = Log::default();
    let inner =
        Router::new().routes(routes![enter, work, leave]).middleware(Trace("3", log.clone()));
    let outer = Router::new().include(inner).middleware(Trace("2", log.clone()));
    let server =
        Server::new().include_router(outer).middleware(Trace("1", log.clone())).state(log.clone());
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    assert_eq!(
        send_and_receive(&mut client, r#"{"type":"work","id":1}"#).await,
        json!({ "type": "ack", "correlation_id": 1 })
    );
    client.close(1000, "").await;
    server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    let stage = |stage: &str| {
        ["1", "2", "3", "handler", "3 back", "2 back", "1 back"]
            .map(|step| format!("{stage} {step}"))
    };
    assert_eq!(log.take(), [stage("connect"), stage("message"), stage("disconnect")].concat());
}

#[tokio::test]
async fn the_middleware_added_first_is_the_outermost() {
    let log = Log::default();
    let router = Router::new()
        .routes(routes![work])
        .middleware(Trace("1", log.clone()))
        .middleware(Trace("2", log.clone()))
        .state(log.clone());
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    send_and_receive(&mut client, r#"{"type":"work","id":1}"#).await;
    assert_eq!(
        log.take(),
        [
            "connect 1",
            "connect 2",
            "connect 2 back",
            "connect 1 back",
            "message 1",
            "message 2",
            "message handler",
            "message 2 back",
            "message 1 back",
        ]
    );
}

#[tokio::test]
async fn a_router_s_middleware_wraps_only_that_router_s_handlers() {
    let log = Log::default();
    let traced = Router::new().routes(routes![work]).middleware(Trace("own", log.clone()));
    let fallback = Route::fallback(|_: Call| async { json!({ "type": "other" }) });
    let plain = Router::new().routes(routes![say, fail]).route(fallback);
    let router = Router::new().include(traced).include(plain).state(log.clone());
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    assert_eq!(send_and_receive(&mut client, r#"{"type":"fail"}"#).await["code"], "busy");
    assert_eq!(send_and_receive(&mut client, r#"{"type":"say","text":"a"}"#).await["text"], "a");
    assert_eq!(send_and_receive(&mut client, r#"{"type":"unknown"}"#).await["type"], "other");
    assert_eq!(send_and_receive(&mut client, "nonsense").await["code"], "invalid_json");
    // The router has no connect handlers, but its middleware runs for the connect stage.
    assert_eq!(log.take(), ["connect own", "connect own back"]);
    send_and_receive(&mut client, r#"{"type":"work","id":1}"#).await;
    assert_eq!(log.take(), ["message own", "message handler", "message own back"]);
}

#[tokio::test]
async fn a_fallback_runs_inside_the_middleware_of_its_router() {
    #[fallback]
    async fn relay(ws: WebSocket, aiows::Text(text): aiows::Text) -> aiows::Result {
        Ok(ws.send_text(&format!("<{text}>")).await?)
    }
    let log = Log::default();
    let router = Router::new().routes(routes![relay]).middleware(Trace("own", log.clone()));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    log.take();
    for text in ["plain", r#"{"type":"x"}"#] {
        client.send_text(text).await;
        assert_eq!(client.recv_text().await, format!("<{text}>"));
        assert_eq!(log.take(), ["message own", "message own back"]);
    }
}

#[tokio::test]
async fn middleware_can_rewrite_a_message() {
    let shout = from_fn(|call, next| async move {
        let text = call.text().unwrap_or_default().replace("quiet", "LOUD").replace("\"old\"", "7");
        next.run(call.with_text(text)).await
    });
    let server = TestServer::new(Router::new().routes(routes![say]).middleware(shout));
    let mut client = server.connect().await;
    let answer =
        send_and_receive(&mut client, r#"{"type":"say","id":"old","text":"be quiet"}"#).await;
    // The answer has the id of the request that the client sent.
    let expected = json!({ "type": "say", "correlation_id": "old", "text": "be LOUD" });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_rewritten_message_is_validated_like_a_received_one() {
    let spoil = from_fn(|call, next| async move { next.run(call.with_text("{")).await });
    let server = TestServer::new(Router::new().routes(routes![say]).middleware(spoil));
    let mut client = server.connect().await;
    let answer = send_and_receive(&mut client, r#"{"type":"say","id":1,"text":"a"}"#).await;
    let expected = json!({
        "type": "error", "code": "invalid_json", "message": "the message is not valid JSON",
        "correlation_id": 1, "message_type": "say",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn an_answer_from_middleware_carries_the_correlation_id() {
    let log = Log::default();
    let cached = from_fn(|call, _next| async move {
        match call.text().is_some_and(|text| text.contains("mute")) {
            true => Ok(Outcome::default()),
            false => Say { text: "cached".into() }.into_outcome(&call),
        }
    });
    let router = Router::new().routes(routes![say, work]).middleware(cached).state(log.clone());
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    for (request, answer) in [
        (r#"{"type":"say","text":"a"}"#, json!({ "type": "say", "text": "cached" })),
        (
            r#"{"type":"say","text":"a","id":1}"#,
            json!({ "type": "say", "correlation_id": 1, "text": "cached" }),
        ),
        (r#"{"type":"work","mute":1,"id":2}"#, json!({ "type": "ack", "correlation_id": 2 })),
    ] {
        assert_eq!(send_and_receive(&mut client, request).await, answer, "{request}");
    }
    // Without an id, an empty outcome sends no acknowledgement.
    client.send_text(r#"{"type":"work","mute":1}"#).await;
    assert_eq!(
        send_and_receive(&mut client, r#"{"type":"say","text":"b"}"#).await["text"],
        "cached"
    );
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn middleware_can_answer_if_the_handler_returns_an_empty_outcome() {
    let done = from_fn(|call, next| async move {
        let outcome = next.run(call.clone()).await?;
        match outcome.is_empty() {
            true => json!({ "type": "done" }).into_outcome(&call),
            false => Ok(outcome),
        }
    });
    let router = Router::new().routes(routes![say, work]).middleware(done).state(Log::default());
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    let expected = json!({ "type": "done", "correlation_id": 1 });
    assert_eq!(send_and_receive(&mut client, r#"{"type":"work","id":1}"#).await, expected);
    let expected = json!({ "type": "say", "text": "a" });
    assert_eq!(send_and_receive(&mut client, r#"{"type":"say","text":"a"}"#).await, expected);
}

#[tokio::test]
async fn malformed_messages_are_refused_before_middleware_runs() {
    let log = Log::default();
    let router = Router::new().routes(routes![say]).middleware(Trace("m", log.clone()));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    log.take();
    for (text, seen) in [
        ("nonsense", "error m invalid_json "),
        ("[]", "error m invalid_message "),
        (r#"{"type":"unknown","id":1}"#, "error m unknown_type unknown"),
    ] {
        assert_eq!(send_and_receive(&mut client, text).await["type"], "error", "{text}");
        assert_eq!(log.take(), [seen], "{text}");
    }
    // The handler decodes the payload, so errors behind the type occur inside of the middleware.
    for (text, code) in [
        (r#"{"type":"say"}"#, "invalid_payload"),
        (r#"{"type":"say","text":"a""#, "invalid_json"),
        (r#"{"type":"say","text":"a","id":[]}"#, "invalid_message"),
    ] {
        assert_eq!(send_and_receive(&mut client, text).await["code"], code, "{text}");
        let error = format!("error m {code} say");
        assert_eq!(log.take(), ["message m", "message m back failed", &error], "{text}");
    }
}

#[tokio::test]
async fn a_malformed_message_gets_its_error_whatever_middleware_answers() {
    for answers in [true, false] {
        let early = from_fn(move |call, _next| async move {
            match answers {
                true => Say { text: "early".into() }.into_outcome(&call),
                false => Err(HandlerError::new("early", "not today")),
            }
        });
        let server = TestServer::new(Router::new().routes(routes![say]).middleware(early));
        let mut client = server.connect().await;
        for (text, code) in [
            (r#"{"type":"say","text":"a""#, "invalid_json"),
            (r#"{"type":"say","text":"a","id":[]}"#, "invalid_message"),
        ] {
            assert_eq!(send_and_receive(&mut client, text).await["code"], code, "{text}");
        }
        let answer = send_and_receive(&mut client, r#"{"type":"say","text":"a","id":1}"#).await;
        assert_eq!(answer["correlation_id"], 1);
        assert_eq!(answer["code"], if answers { Value::Null } else { json!("early") });
    }
}

/// Replaces every error with one that has its own code and contains the previous code.
struct Rename(&'static str);

impl Middleware for Rename {
    async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
        HandlerError::new(self.0, "replaced").with("was", error.code())
    }
}

#[tokio::test]
async fn middleware_replaces_errors_from_the_inside_out() {
    let inner = Router::new().routes(routes![fail, panics]).middleware(Rename("inner"));
    let router = Router::new().include(inner).routes(routes![say]);
    let server = TestServer::new(Server::from(router).middleware(Rename("outer")));
    let mut client = server.connect().await;
    let renamed = |was: &str, message_type: &str| {
        json!({
            "type": "error", "code": "outer", "message": "replaced", "correlation_id": 1,
            "message_type": message_type, "params": { "was": was },
        })
    };
    for (message_type, was) in
        [("fail", "inner"), ("panic", "inner"), ("say", "invalid_payload"), ("x", "unknown_type")]
    {
        let answer =
            send_and_receive(&mut client, &format!(r#"{{"type":"{message_type}","id":1}}"#)).await;
        assert_eq!(answer, renamed(was, message_type));
    }
    let mut answer = send_and_receive(&mut client, "nonsense").await;
    assert_eq!(answer["params"].take(), json!({ "was": "invalid_json" }));
}

#[tokio::test]
async fn an_error_replaced_by_middleware_may_close_the_connection() {
    struct Strict;
    impl Middleware for Strict {
        async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
            error.close(4000)
        }
    }
    let server = TestServer::new(Router::new().routes(routes![say]).middleware(Strict));
    let mut client = server.connect().await;
    assert_eq!(send_and_receive(&mut client, "nonsense").await["code"], "invalid_json");
    assert_eq!(client.expect_closed(4000).await, "the message is not valid JSON");
}

#[tokio::test]
async fn a_panic_in_middleware_fails_only_its_call() {
    struct Panics;
    impl Middleware for Panics {
        async fn on_message(&self, call: Call, next: Next) -> Returned {
            assert!(!call.text().is_some_and(|text| text.contains("now")), "the secret is 42");
            next.run(call).await
        }
        async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
            assert!(error.code() != "busy", "the secret is 43");
            error
        }
    }
    let log = Log::default();
    let router = Router::new().routes(routes![say, fail, panics]).middleware(Panics);
    let router = Router::new().include(router).middleware(Trace("m", log.clone()));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    log.take();
    for request in [r#"{"type":"say","text":"now"}"#, r#"{"type":"fail"}"#, r#"{"type":"panic"}"#] {
        let answer = send_and_receive(&mut client, request).await;
        assert_eq!(answer["code"], "internal", "{request}");
        assert_eq!(answer["error_id"].as_str().map(str::len), Some(16), "{request}");
        let seen = log.take();
        assert_eq!(seen[..2], ["message m", "message m back failed"], "{request}");
        assert!(seen[2].starts_with("error m internal "), "{seen:?}");
    }
    assert_eq!(send_and_receive(&mut client, r#"{"type":"say","text":"a"}"#).await["text"], "a");
}

/// The action of a middleware when a connection starts and when it ends.
#[derive(Clone, Copy)]
enum Action {
    Answer,
    Fail,
    FailAfter,
    DiscardError,
    Panic,
}

struct Guard(Action);

impl Guard {
    async fn act(&self, call: Call, next: Next) -> Returned {
        match self.0 {
            Action::Answer => Say { text: "no".into() }.into_outcome(&call),
            Action::Fail => Err(HandlerError::new("full", "no room").close(4003)),
            Action::FailAfter => {
                next.run(call).await?;
                Err("too late")?
            }
            Action::DiscardError => {
                let _ = next.run(call.clone()).await;
                ().into_outcome(&call)
            }
            Action::Panic => panic!("no luck"),
        }
    }
}

impl Middleware for Guard {
    async fn on_connect(&self, call: Call, next: Next) -> Returned {
        self.act(call, next).await
    }

    async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
        self.act(call, next).await
    }
}

/// Connects through a guard inside of a passing middleware, and sends a message at once.
async fn guarded(
    action: Action,
) -> (TestClient, Log, mpsc::Receiver<DisconnectReason>, TestServer) {
    #[connect]
    async fn broken(State(log): State<Log>) -> aiows::Result {
        log.add("connect handler");
        if log.0.lock().unwrap().first().is_some_and(|line| line == "broken") {
            Err("no database")?;
        }
        Ok(())
    }
    let (log, (ended, ends)) = (Log::default(), mpsc::channel(4));
    if matches!(action, Action::DiscardError) {
        log.add("broken");
    }
    let inner =
        Router::new().routes(routes![broken, work, report, leave]).middleware(Guard(action));
    let router = Router::new().include(inner).middleware(Trace("m", Log::default()));
    let router = router.state(log.clone()).state(Ended(ended));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"work"}"#).await;
    (client, log, ends, server)
}

/// Returns the next disconnect reason, or `None` if no further one can follow.
async fn next_end(ends: &mut mpsc::Receiver<DisconnectReason>) -> Option<DisconnectReason> {
    let end = tokio::time::timeout(std::time::Duration::from_secs(5), ends.recv()).await;
    end.expect("a disconnect handler runs")
}

#[tokio::test]
async fn a_connection_that_middleware_does_not_pass_on_is_closed_and_handles_no_messages() {
    let (mut client, log, mut ends, server) = guarded(Action::Answer).await;
    assert_eq!(client.recv::<Say>().await, Say { text: "no".into() });
    assert_eq!(client.expect_closed(1008).await, "the connection was refused");
    assert_eq!(next_end(&mut ends).await, Some(DisconnectReason::ConnectFailed));
    server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    assert_eq!(log.take(), ["disconnect handler"]);
}

#[tokio::test]
async fn a_connect_error_that_middleware_discards_still_closes_the_connection() {
    let (mut client, log, mut ends, server) = guarded(Action::DiscardError).await;
    assert_eq!(client.expect_closed(1008).await, "the connection was refused");
    assert_eq!(next_end(&mut ends).await, Some(DisconnectReason::ConnectFailed));
    server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    assert_eq!(log.take(), ["broken", "connect handler", "disconnect handler"]);
}

#[tokio::test]
async fn a_connect_error_of_middleware_closes_the_connection_as_a_handler_error_does() {
    let (mut client, log, mut ends, server) = guarded(Action::Fail).await;
    let expected = json!({ "type": "error", "code": "full", "message": "no room" });
    assert_eq!(client.recv_json().await, expected);
    assert_eq!(client.expect_closed(4003).await, "no room");
    assert_eq!(next_end(&mut ends).await, Some(DisconnectReason::ConnectFailed));
    server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    assert_eq!(log.take(), ["disconnect handler"]);
}

#[tokio::test]
async fn disconnect_handlers_run_once_whatever_middleware_does() {
    for (action, expected) in [
        (Action::FailAfter, &["connect handler", "disconnect handler"][..]),
        (Action::Panic, &["disconnect handler"]),
    ] {
        let (mut client, log, mut ends, server) = guarded(action).await;
        assert!(client.expect_closed(1011).await.starts_with("Internal error "));
        assert_eq!(next_end(&mut ends).await, Some(DisconnectReason::ConnectFailed));
        server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
        assert_eq!(next_end(&mut ends).await, None);
        assert_eq!(log.take(), expected);
    }
}

#[tokio::test]
async fn each_middleware_receives_a_connect_error_once() {
    #[connect]
    async fn refuse() -> Result<(), HandlerError> {
        Err(HandlerError::new("room_full", "the room is full"))
    }
    let log = Log::default();
    let inner = Router::new().routes(routes![refuse]).middleware(Rename("renamed"));
    let router = Router::new().include(inner).middleware(Trace("m", log.clone()));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    let expected = json!({
        "type": "error", "code": "renamed", "message": "replaced", "params": { "was": "room_full" },
    });
    assert_eq!(client.recv_json().await, expected);
    assert_eq!(client.expect_closed(1008).await, "renamed");
    server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    assert_eq!(log.take(), ["connect m", "connect m back failed", "error m renamed "]);
}

#[tokio::test]
async fn handlers_of_included_routers_keep_their_state() {
    #[derive(Clone)]
    struct Name(&'static str);
    #[connect]
    async fn outer(State(name): State<Name>) -> Say {
        Say { text: name.0.into() }
    }
    #[connect]
    async fn inner(State(name): State<Name>, ws: WebSocket) -> aiows::Result<Say> {
        ws.send_text("before").await?;
        Ok(Say { text: name.0.into() })
    }
    let included = Router::new().routes(routes![inner]).state(Name("inner"));
    let router = Router::new()
        .routes(routes![outer])
        .include(included)
        .state(Name("outer"))
        .middleware(Trace("m", Log::default()));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    assert_eq!(client.recv::<Say>().await, Say { text: "outer".into() });
    assert_eq!(client.recv_text().await, "before");
    assert_eq!(client.recv::<Say>().await, Say { text: "inner".into() });
}

#[tokio::test]
async fn a_function_can_be_middleware() {
    async fn limit(call: Call, next: Next) -> Returned {
        if call.text().is_some_and(|text| text.len() > 40) {
            return Err(HandlerError::new("too_long", "be brief"));
        }
        next.run(call).await
    }
    let server = TestServer::new(Router::new().routes(routes![say]).middleware(from_fn(limit)));
    let mut client = server.connect().await;
    assert_eq!(send_and_receive(&mut client, r#"{"type":"say","text":"a"}"#).await["text"], "a");
    let long =
        send_and_receive(&mut client, &format!(r#"{{"type":"say","text":"{:40}"}}"#, "b")).await;
    let expected = json!({
        "type": "error", "code": "too_long", "message": "be brief", "message_type": "say",
    });
    assert_eq!(long, expected);
}

#[tokio::test]
async fn the_error_of_a_disconnect_handler_passes_through_the_middleware() {
    #[disconnect]
    async fn fails() -> Result<(), HandlerError> {
        Err(HandlerError::new("unsaved", "the draft is lost"))
    }
    struct Watch(mpsc::Sender<(String, Option<String>)>);
    impl Middleware for Watch {
        async fn on_error(&self, call: &Call, error: HandlerError) -> HandlerError {
            let message_type = call.message_type().map(Into::into);
            self.0.send((error.code().to_owned(), message_type)).await.unwrap();
            error
        }
    }
    let (sender, mut seen) = mpsc::channel(4);
    let router = Router::new().routes(routes![fails, say]).middleware(Watch(sender));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    assert_eq!(send_and_receive(&mut client, r#"{"type":"say","text":"a"}"#).await["text"], "a");
    drop(client);
    assert_eq!(seen.recv().await, Some(("unsaved".to_owned(), None)));
    server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    assert!(seen.try_recv().is_err());
}
