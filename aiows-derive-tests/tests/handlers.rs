//! Handlers of every kind and shape, called by clients over a connection in memory.

use aiows::extract::{Call, Extraction, FromCall};
use aiows::routing::Routes;
use aiows::testing::{TestServer, socket};
use aiows::{
    DisconnectReason, HandlerError, Message, MessageId, RawMessage, Router, Server, State,
    WebSocket, connect, disconnect, fallback, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[derive(Debug, Deserialize, Message, PartialEq, Serialize)]
struct Chat {
    text: String,
}

impl Chat {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

#[derive(Message, Serialize)]
struct Seen {
    by: &'static str,
}

/// Sends the requests to a server with these handlers and returns the first `N` answers.
async fn answers<const N: usize>(routes: Routes, requests: &[Value]) -> [Value; N] {
    let server = TestServer::new(Router::new().routes(routes));
    let mut client = server.connect().await;
    for request in requests {
        client.send_json(request).await;
    }
    let mut answers = [const { Value::Null }; N];
    for answer in &mut answers {
        *answer = client.recv_json().await;
    }
    answers
}

fn mistakes(routes: Routes) -> Vec<String> {
    let server = Server::new().include_router(Router::new().routes(routes));
    let error = server.build().expect_err("the registration is wrong");
    error.mistakes().to_vec()
}

mod every_kind {
    use super::*;

    type Left = mpsc::Sender<DisconnectReason>;

    #[connect]
    async fn welcome() -> Chat {
        Chat::new("welcome")
    }

    #[connect]
    async fn second_welcome(ws: WebSocket) -> aiows::Result {
        ws.send(&Chat::new("on the way")).await?;
        Ok(())
    }

    #[message("chat")]
    async fn say(chat: Chat) -> Chat {
        chat
    }

    #[fallback]
    async fn otherwise(raw: RawMessage) -> Value {
        json!({ "type": "unserved", "of": raw.message_type() })
    }

    #[disconnect]
    async fn left(State(left): State<Left>, reason: DisconnectReason) -> aiows::Result {
        Ok(left.send(reason).await?)
    }

    #[tokio::test]
    async fn runs_for_its_events() {
        let (left_sender, mut left_receiver) = mpsc::channel(1);
        let list = routes![left, otherwise, say, welcome, second_welcome];
        let router = Router::new().routes(list).state::<Left>(left_sender);
        let server = TestServer::new(router);
        let mut client = server.connect().await;
        assert_eq!(client.recv_json().await, json!({ "type": "chat", "text": "welcome" }));
        assert_eq!(client.recv_json().await, json!({ "type": "chat", "text": "on the way" }));
        client.send(&Chat::new("hello")).await;
        assert_eq!(client.recv_json().await, json!({ "type": "chat", "text": "hello" }));
        client.send_json(&json!({ "type": "dance" })).await;
        assert_eq!(client.recv_json().await, json!({ "type": "unserved", "of": "dance" }));
        client.close(1000, "bye").await;
        let reason = left_receiver.recv().await;
        let expected = DisconnectReason::Peer { code: Some(1000.into()), reason: "bye".to_owned() };
        assert_eq!(reason, Some(expected));
    }
}

mod arguments {
    use super::*;

    /// An extractor that reads a field of the message after it has yielded once.
    struct Mood(String);

    impl FromCall for Mood {
        fn from_call(call: &Call) -> Extraction<Self> {
            let call = call.clone();
            Extraction::pending(async move {
                tokio::task::yield_now().await;
                let raw: RawMessage = call.extract().await?;
                let mood = raw.json()?["mood"].as_str().map(ToOwned::to_owned);
                mood.map(Self).ok_or_else(|| HandlerError::new("no_mood", "cheer up"))
            })
        }
    }

    #[message("ping")]
    async fn ping() -> Seen {
        Seen { by: "ping" }
    }

    #[message("socket")]
    async fn only_an_extractor(ws: WebSocket) -> Seen {
        assert!(!ws.is_closed());
        Seen { by: "only_an_extractor" }
    }

    #[message("extractors")]
    async fn only_extractors(
        _ws: WebSocket,
        id: Option<MessageId>,
        State(name): State<&'static str>,
    ) -> Seen {
        assert_eq!(id, None);
        Seen { by: name }
    }

    #[message("chat")]
    async fn extractors_and_payload(
        State(name): State<&'static str>,
        Mood(mood): Mood,
        _: WebSocket,
        mut chat: Chat,
    ) -> Chat {
        chat.text = format!("{name}, {mood}: {}", chat.text);
        chat
    }

    #[message("chat.swapped")]
    async fn swapped(
        _: WebSocket,
        Mood(mood): Mood,
        State(name): State<&'static str>,
        Chat { text }: Chat,
    ) -> Chat {
        Chat { text: format!("{mood}, {name}: {text}") }
    }

    #[tokio::test]
    async fn are_extractors_in_any_order_then_the_payload() {
        let list =
            routes![ping, only_an_extractor, only_extractors, extractors_and_payload, swapped];
        let server = TestServer::new(Router::new().routes(list).state("ann"));
        let mut client = server.connect().await;
        for (request, answer) in [
            (json!({ "type": "ping" }), json!({ "type": "seen", "by": "ping" })),
            (json!({ "type": "socket" }), json!({ "type": "seen", "by": "only_an_extractor" })),
            (json!({ "type": "extractors" }), json!({ "type": "seen", "by": "ann" })),
            (
                json!({ "type": "chat", "mood": "gay", "text": "hi" }),
                json!({ "type": "chat", "text": "ann, gay: hi" }),
            ),
            (
                json!({ "type": "chat.swapped", "mood": "sad", "text": "hi" }),
                json!({ "type": "chat", "text": "sad, ann: hi" }),
            ),
            (
                json!({ "type": "chat", "text": "hi", "id": 4 }),
                json!({
                    "type": "error",
                    "correlation_id": 4,
                    "code": "no_mood",
                    "message": "cheer up",
                    "message_type": "chat",
                }),
            ),
        ] {
            client.send_json(&request).await;
            assert_eq!(client.recv_json().await, answer, "{request}");
        }
    }

    #[tokio::test]
    async fn without_their_state_are_reported_for_the_handler() {
        let location = location_of("async fn only_extractors(");
        assert_eq!(
            mistakes(routes![ping, only_extractors]),
            [format!(
                "handler `handlers::arguments::only_extractors` ({location}) needs `State<&str>`, \
                 which neither its router nor the server has: add it with `Server::state` \
                 or `Router::state`"
            )]
        );
    }
}

/// Returns the location that the macros record for the handler with this first line.
fn location_of(line: &str) -> String {
    let lines = include_str!("handlers.rs").lines();
    let found: Vec<_> = lines.enumerate().filter(|(_, text)| text.trim() == line).collect();
    let [(at, _)] = found[..] else {
        panic!("{line} occurs on {} lines", found.len());
    };
    format!("{}:{}", file!(), at + 1)
}

mod returns {
    use super::*;

    #[message("nothing")]
    async fn nothing() {}

    #[message("message")]
    async fn message_() -> Chat {
        Chat::new("hi")
    }

    #[message("some")]
    async fn some() -> Option<Chat> {
        Some(Chat::new("hi"))
    }

    #[message("none")]
    async fn none() -> Option<Chat> {
        None
    }

    #[message("ok")]
    async fn ok() -> aiows::Result {
        Ok(())
    }

    #[message("ok.message")]
    async fn ok_message() -> aiows::Result<Option<Chat>> {
        Ok(Some(Chat::new("hi")))
    }

    #[message("err")]
    async fn err() -> aiows::Result<Chat> {
        Err(HandlerError::new("room_full", "the room is full").with("capacity", 50))
    }

    #[message("value")]
    async fn value() -> Value {
        json!({ "free": ["form", 1] })
    }

    struct Busy;

    impl From<Busy> for HandlerError {
        fn from(Busy: Busy) -> Self {
            Self::new("busy", "try again")
        }
    }

    #[message("own.error")]
    async fn own_error() -> Result<Value, Busy> {
        Err(Busy)
    }

    #[tokio::test]
    async fn become_the_answer_to_a_request() {
        let list = routes![nothing, message_, some, none, ok, ok_message, err, value, own_error];
        let server = TestServer::new(Router::new().routes(list));
        let mut client = server.connect().await;
        let ack = json!({ "type": "ack", "correlation_id": "q" });
        let chat = json!({ "type": "chat", "correlation_id": "q", "text": "hi" });
        for (message_type, answer) in [
            ("nothing", &ack),
            ("message", &chat),
            ("some", &chat),
            ("none", &ack),
            ("ok", &ack),
            ("ok.message", &chat),
            (
                "err",
                &json!({
                    "type": "error",
                    "correlation_id": "q",
                    "code": "room_full",
                    "message": "the room is full",
                    "message_type": "err",
                    "params": { "capacity": 50 },
                }),
            ),
            ("value", &json!({ "correlation_id": "q", "free": ["form", 1] })),
            (
                "own.error",
                &json!({
                    "type": "error",
                    "correlation_id": "q",
                    "code": "busy",
                    "message": "try again",
                    "message_type": "own.error",
                }),
            ),
        ] {
            client.send_json(&json!({ "type": message_type, "id": "q" })).await;
            assert_eq!(&client.recv_json().await, answer, "{message_type}");
        }
    }

    #[tokio::test]
    async fn of_connect_handlers_are_sent_too() {
        #[connect]
        async fn greeting() -> Result<Option<Value>, HandlerError> {
            Ok(Some(json!({ "type": "greeting" })))
        }
        assert_eq!(answers(routes![greeting], &[]).await, [json!({ "type": "greeting" })]);
    }
}

mod names {
    use super::*;

    mod handlers {
        use super::{Seen, message};

        #[message("say")]
        pub(crate) async fn say() -> Seen {
            Seen { by: "handlers::say" }
        }

        pub(crate) mod deep {
            use super::{Seen, message};

            #[message("deep.say")]
            pub(crate) async fn say() -> Seen {
                Seen { by: "deep::say" }
            }

            #[message("hidden")]
            pub(crate) async fn hidden() -> Seen {
                Seen { by: "deep::hidden" }
            }
        }

        pub(crate) use deep::hidden;
    }

    #[message("match")]
    async fn r#match() -> Seen {
        Seen { by: "match" }
    }

    #[tokio::test]
    async fn may_be_paths_renamed_imports_and_raw_identifiers() {
        use handlers::say as speak;

        let list = routes![speak, handlers::deep::say, handlers::hidden, r#match];
        let requests = ["say", "deep.say", "hidden", "match"].map(|name| json!({ "type": name }));
        let expected = ["handlers::say", "deep::say", "deep::hidden", "match"];
        let expected = expected.map(|by| json!({ "type": "seen", "by": by }));
        assert_eq!(answers(list, &requests).await, expected);
    }

    #[tokio::test]
    async fn in_build_errors_are_the_paths_of_the_functions() {
        #[message("match")]
        async fn rival() {}
        // There are two lists because two handlers of one type in a single list do not compile.
        let router = Router::new().routes(routes![r#match]).routes(routes![rival]);
        let error = Server::new().include_router(router).build().unwrap_err();
        let (first, second) =
            (location_of("async fn r#match() -> Seen {"), location_of("async fn rival() {}"));
        assert_eq!(
            error.mistakes(),
            [format!(
                "message type \"match\" is handled by both `handlers::names::match` ({first}) and \
                 `handlers::names::rival` ({second}): remove one of them"
            )]
        );
    }
}

mod conditions {
    use super::*;

    #[cfg(test)]
    #[message("which")]
    async fn kept() -> Seen {
        Seen { by: "kept" }
    }

    #[cfg(not(test))]
    #[message("which")]
    async fn dropped() -> Seen {
        Seen { by: "dropped" }
    }

    #[message("arguments")]
    async fn arguments(
        #[cfg(not(test))] _: Missing,
        #[cfg(test)] _: WebSocket,
        chat: Chat,
        #[cfg(not(test))] _: Missing,
    ) -> Chat {
        chat
    }

    #[tokio::test]
    async fn hold_for_handlers_entries_and_arguments() {
        let list = routes![
            #[cfg(not(test))]
            dropped,
            #[cfg(test)]
            kept,
            arguments,
        ];
        let requests = [json!({ "type": "which" }), json!({ "type": "arguments", "text": "a" })];
        let expected =
            [json!({ "type": "seen", "by": "kept" }), json!({ "type": "chat", "text": "a" })];
        assert_eq!(answers(list, &requests).await, expected);
    }
}

mod a_handler {
    use super::*;

    #[message("chat")]
    async fn say(ws: WebSocket, chat: Chat) -> aiows::Result<Chat> {
        ws.send(&chat).await?;
        ws.close(4000, "enough");
        Ok(chat)
    }

    #[tokio::test]
    async fn is_called_like_any_function() {
        let (ws, mut sent) = socket();
        let returned = say(ws, Chat::new("hi")).await.unwrap();
        assert_eq!(returned, Chat::new("hi"));
        assert_eq!(sent.take::<Chat>(), Some(Chat::new("hi")));
        let closed = sent.closed().unwrap();
        assert_eq!((closed.code.as_u16(), closed.reason.as_str()), (4000, "enough"));
    }

    #[tokio::test]
    async fn may_be_defined_inside_a_function() {
        #[message("local")]
        async fn local() -> Seen {
            Seen { by: "local" }
        }
        let expected = [json!({ "type": "seen", "by": "local" })];
        assert_eq!(answers(routes![local], &[json!({ "type": "local" })]).await, expected);
    }

    #[derive(Deserialize, Message)]
    #[aiows(type = "room.join")]
    struct Join {}

    #[tokio::test]
    async fn serves_the_type_its_message_declares() {
        // `join` compiles because it is the end of the declared type. Any other literal does not.
        #[message("join")]
        async fn join(_join: Join) {}
        let location = location_of("async fn join(_join: Join) {}");
        assert_eq!(
            mistakes(routes![join]),
            [format!(
                "handler `handlers::a_handler::join` ({location}) is registered for \"join\", \
                 but its message `handlers::a_handler::Join` declares \"room.join\""
            )]
        );
        let room = Router::new().nest("room.", Router::new().routes(routes![join]));
        assert!(Server::from(room).build().is_ok());
    }

    #[tokio::test]
    async fn of_a_message_without_a_declared_type_serves_any_type() {
        #[message("shout")]
        async fn shout(chat: Chat) -> Chat {
            Chat { text: chat.text.to_uppercase() }
        }
        let request = json!({ "type": "shout", "text": "hi" });
        let expected = [json!({ "type": "chat", "text": "HI" })];
        assert_eq!(answers(routes![shout], &[request]).await, expected);
    }
}
