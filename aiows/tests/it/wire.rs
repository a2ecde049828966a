//! Sent messages are JSON objects that contain each key of the head at most once. The build reports
//! message types that cannot be received.

use std::collections::{BTreeMap, HashMap};

use aiows::error::{RequestError, SendError};
use aiows::routing::Route;
use aiows::{
    Message, MessageId, Result, Router, Server, ServerHandle, State, WebSocket, message, routes,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::kit::TestServer;

fn mistakes(server: impl Into<Server>) -> Vec<String> {
    let error = server.into().build().expect_err("the registration is wrong");
    error.mistakes().to_vec()
}

/// Returns the mistakes of a server with a handler that receives a `T`.
fn received<T: Message + DeserializeOwned + Send + 'static>() -> Vec<String> {
    let route = Route::message("chat", |_| async {}).receiving::<T>();
    match Server::from(Router::new().route(route)).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes().to_vec(),
    }
}

/// Returns the text of a message that is sent as a reply.
async fn sent<M: Message + Serialize>(message: &M) -> Result<String, SendError> {
    let (ws, mut sent) = aiows::testing::socket();
    ws.reply(&7.into(), message).await?;
    Ok(sent.texts().remove(0))
}

#[derive(Message, Serialize)]
#[aiows(type = "posted")]
struct Posted(Box<RawValue>);

#[derive(Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct Any(Value);

#[derive(Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct Flat {
    text: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn flat(key: &str) -> Flat {
    Flat { text: "hi".into(), rest: Map::from_iter([(key.to_owned(), json!("forged"))]) }
}

fn raw(text: &str) -> Posted {
    Posted(RawValue::from_string(text.into()).unwrap())
}

#[tokio::test]
async fn a_raw_object_is_sent_as_json_whatever_its_formatting() {
    let head = r#"{"type":"posted","correlation_id":7"#;
    for (text, rest) in [
        ("{}", "}"),
        ("{ }", "}"),
        ("{\n\t}", "}"),
        ("null", "}"),
        (r#"{"a":1}"#, r#","a":1}"#),
        ("{ \"a\" : [ ] }", ", \"a\" : [ ] }"),
    ] {
        assert_eq!(sent(&raw(text)).await.unwrap(), format!("{head}{rest}"), "{text}");
    }
    for text in ["[]", "7", r#""{}""#, "[ {} ]"] {
        let error = sent(&raw(text)).await.unwrap_err();
        assert!(matches!(error, SendError::Encode(_)), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn a_raw_object_is_sent_as_json_to_a_room() {
    #[message("post")]
    async fn post(ws: WebSocket, server: ServerHandle) -> Result {
        ws.join("lobby").await?;
        server.hub().room("lobby").send(&raw("{ }")).await?;
        Ok(())
    }
    let server = TestServer::new(Router::new().routes(routes![post]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"post"}"#).await;
    assert_eq!(client.recv_text().await, r#"{"type":"posted"}"#);
}

#[tokio::test]
async fn a_message_that_repeats_a_key_of_the_head_is_not_sent() {
    for key in ["type", "id", "correlation_id"] {
        let object = json!({ "a": 1, key: "forged" });
        for error in [
            sent(&flat(key)).await.unwrap_err(),
            sent(&Any(object.clone())).await.unwrap_err(),
            sent(&raw(&object.to_string())).await.unwrap_err(),
            // The same key, spelled with an escape.
            sent(&raw(&object.to_string().replace(key, &escaped(key)))).await.unwrap_err(),
        ] {
            let SendError::Encode(error) = error else { panic!("{error:?}") };
            let text = format!("the key `{key}` belongs to the head of a message");
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    }
    let ok = sent(&flat("Type")).await.unwrap();
    assert_eq!(ok, r#"{"type":"chat","correlation_id":7,"text":"hi","Type":"forged"}"#);
}

fn escaped(key: &str) -> String {
    format!("\\u{:04x}{}", u32::from(key.as_bytes()[0]), &key[1..])
}

#[tokio::test]
async fn a_request_that_repeats_the_id_is_not_sent() {
    let (ws, mut sent) = aiows::testing::socket();
    let result: Result<Any, _> = ws.request(&flat("id"), Duration::from_secs(1)).await;
    assert!(matches!(result, Err(RequestError::NotSent(SendError::Encode(_)))));
    assert_eq!(sent.texts(), [""; 0]);
}

#[tokio::test]
async fn a_message_that_repeats_the_router_s_tag_is_not_sent() {
    #[message("act")]
    async fn act(ws: WebSocket, State(text): State<&'static str>) -> Result {
        let rest = serde_json::from_str(text)?;
        ws.send(&Flat { text: "hi".into(), rest }).await?;
        Ok(())
    }
    for (text, answer) in [
        (r#"{"action":1}"#, None),
        (r#"{"type":1}"#, Some(r#"{"action":"chat","text":"hi","type":1}"#)),
    ] {
        let router = Router::new().routes(routes![act]).tag("action").state(text);
        let server = TestServer::new(router);
        let mut client = server.connect().await.tag("action");
        client.send_text(r#"{"action":"act"}"#).await;
        match answer {
            Some(answer) => assert_eq!(client.recv_text().await, answer),
            None => assert_eq!(client.recv_json().await["code"], "internal"),
        }
    }
}

#[test]
fn a_message_field_named_like_the_tag_is_a_mistake() {
    #[derive(Message, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Chat {
        #[serde(rename = "action", alias = "verb")]
        _action: String,
    }
    #[message("chat")]
    async fn chat(_chat: Chat) {}
    for tag in ["action", "verb"] {
        let [mistake] = &mistakes(Router::new().routes(routes![chat]).tag(tag))[..] else {
            panic!("one mistake")
        };
        assert!(mistake.contains("Chat` has a field `") && mistake.contains(tag), "{mistake}");
        assert!(mistake.contains("rename"), "{mistake}");
    }
    assert!(Server::from(Router::new().routes(routes![chat]).tag("kind")).build().is_ok());
}

#[test]
fn a_tag_that_is_a_reserved_key_is_a_mistake() {
    for tag in [
        "id",
        "correlation_id",
        "code",
        "message",
        "message_type",
        "fields",
        "more_fields",
        "params",
        "part",
        "parts",
        "retry_after_ms",
        "error_id",
        "room",
        "members",
    ] {
        let found = mistakes(Router::new().tag(tag));
        let [mistake] = &found[..] else { panic!("{tag}: {found:?}") };
        assert!(mistake.contains(&format!("the tag of a router must not be `{tag}`")), "{mistake}");
    }
    assert_eq!(
        mistakes(Router::new().tag("")),
        ["the tag of a router must not be empty: pass the key that carries the message type"]
    );
}

#[test]
fn the_message_types_of_room_announcements_are_reserved() {
    for name in ["room.members", "room.joined", "room.left"] {
        let router = Router::new().route(Route::message(name, |_| async {}));
        let found = mistakes(router);
        assert!(found[0].contains(&format!("reserved message type \"{name}\"")), "{found:?}");
    }
    let inner = Router::new().route(Route::message("left", |_| async {}));
    let found = mistakes(Router::new().nest("room.", inner));
    assert!(found[0].contains("reserved message type \"room.left\""), "{found:?}");
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
enum Shape {
    Circle { radius: u32 },
    Square(u32),
    Line(u32, u32),
    Dot,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct Drawn(Shape);

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct Perhaps(Option<Inner>);

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct Unit(());

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct ByNumber(BTreeMap<u8, char>);

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct ByUser(BTreeMap<Option<User>, i128>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
struct User(i64);

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct ByAnswer(BTreeMap<bool, Value>);

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Inner {
    user: u32,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "chat")]
struct Referring {
    text: String,
    #[serde(flatten)]
    refers: Refers,
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Refers {
    to: MessageId,
}

/// Sends a message as a client, and returns the handler's echo of it.
async fn echoed<T>(text: &str) -> Value
where
    T: Message + DeserializeOwned + Serialize + Send + 'static,
{
    let route =
        Route::message("chat", |call: aiows::extract::Call| async move { call.payload::<T>() });
    let server = TestServer::new(Router::new().route(route.receiving::<T>()));
    let mut client = server.connect().await;
    client.send_text(text).await;
    client.recv_json().await
}

#[tokio::test]
async fn a_message_that_a_wrapper_sends_can_be_received() {
    async fn both_ways<T>(message: T, fields: &str)
    where
        T: Message + DeserializeOwned + Serialize + Send + 'static,
    {
        let text = sent(&message).await.unwrap();
        assert_eq!(text, format!(r#"{{"type":"chat","correlation_id":7{fields}}}"#));
        assert_eq!(received::<T>(), [""; 0]);
        let expected: Value = serde_json::from_str(&text).unwrap();
        for text in [
            format!(r#"{{"type":"chat","id":7{fields}}}"#),
            format!(r#"{{"id":7{fields},"type":"chat"}}"#),
        ] {
            assert_eq!(echoed::<T>(&text).await, expected, "{text}");
        }
    }
    both_ways(Drawn(Shape::Circle { radius: 2 }), r#","Circle":{"radius":2}"#).await;
    both_ways(Drawn(Shape::Square(3)), r#","Square":3"#).await;
    both_ways(Drawn(Shape::Line(1, 2)), r#","Line":[1,2]"#).await;
    both_ways(Perhaps(Some(Inner { user: 1 })), r#","user":1"#).await;
    both_ways(Unit(()), "").await;
    both_ways(Any(json!({ "a": [1] })), r#","a":[1]"#).await;
    both_ways(ByNumber([(0, 'a'), (255, 'b')].into()), r#","0":"a","255":"b""#).await;
    both_ways(ByUser([(Some(User(-7)), 1), (Some(User(7)), 2)].into()), r#","-7":1,"7":2"#).await;
    both_ways(ByAnswer([(false, json!(0)), (true, json!([]))].into()), r#","false":0,"true":[]"#)
        .await;
    both_ways(flat("more"), r#","text":"hi","more":"forged""#).await;
    for to in [7.into(), (-7).into(), "a\"é".into(), MessageId::from(i64::MAX)] {
        let fields = format!(r#","text":"hi","to":{}"#, MessageId::as_json(&to));
        both_ways(Referring { text: "hi".into(), refers: Refers { to } }, &fields).await;
    }
}

#[tokio::test]
async fn a_map_key_that_is_not_a_valid_number_is_refused() {
    for key in ["256", "-1", "1.0", " 1", "1 ", "+1", "01", "", "a", "null", "\\u00311"] {
        let answer = echoed::<ByNumber>(&format!(r#"{{"type":"chat","{key}":"x"}}"#)).await;
        match key.strip_prefix('\\') {
            Some(_) => assert_eq!(answer, json!({ "type": "chat", "11": "x" })),
            None => assert_eq!(answer["code"], "invalid_payload", "{key:?}"),
        }
    }
}

#[tokio::test]
async fn a_wrapper_over_an_enum_accepts_exactly_one_variant() {
    for fields in ["", r#","Circle":{"radius":2},"Square":3"#, r#","Oval":1"#, r#","Square":"x""#] {
        let answer = echoed::<Drawn>(&format!(r#"{{"type":"chat"{fields}}}"#)).await;
        assert_eq!(answer["code"], "invalid_payload", "{fields}");
    }
    let dot = sent(&Drawn(Shape::Dot)).await;
    assert!(matches!(dot, Err(SendError::Encode(_))));
    let wrong = echoed::<Drawn>(r#"{"type":"chat","Circle":{"radius":"x"}}"#).await;
    assert_eq!(wrong["fields"][0]["path"], "Circle.radius");
    for to in ["1.5", "true", "[1]", "null"] {
        let text = format!(r#"{{"type":"chat","text":"hi","to":{to}}}"#);
        assert_eq!(echoed::<Referring>(&text).await["code"], "invalid_payload", "{to}");
    }
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only decoded")]
struct WithId {
    id: u32,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only decoded")]
struct MaybeId {
    id: Option<u32>,
    name: Option<String>,
}

#[test]
fn a_wrapper_that_reads_keys_of_the_head_is_a_mistake() {
    #[derive(Message, Deserialize)]
    struct Wrapper(WithId);
    #[derive(Message, Deserialize)]
    #[serde(transparent)]
    struct Transparent {
        _inner: MaybeId,
    }
    #[derive(Message, Deserialize)]
    #[serde(from = "WithId")]
    struct Converted;
    impl From<WithId> for Converted {
        fn from(_: WithId) -> Self {
            Self
        }
    }
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { _a: u32 },
    }
    #[derive(Message, Deserialize)]
    struct OverTagged(Tagged);
    for (found, key) in [
        (received::<Wrapper>(), "id"),
        (received::<Transparent>(), "id"),
        (received::<Converted>(), "id"),
        (received::<OverTagged>(), "type"),
    ] {
        let [mistake] = &found[..] else { panic!("one mistake, not {found:?}") };
        assert!(mistake.contains(&format!("has a field `{key}`")), "{mistake}");
    }
}

#[test]
fn a_flattened_field_that_reads_keys_of_the_head_is_a_mistake() {
    #[derive(Message, Deserialize)]
    struct Strict {
        _text: String,
        #[serde(flatten)]
        _rest: WithId,
    }
    #[derive(Message, Deserialize)]
    struct Lax {
        _text: HashMap<String, Vec<Shape>>,
        #[serde(flatten)]
        _rest: MaybeId,
    }
    #[derive(Message, Deserialize)]
    struct Optional {
        _text: Option<String>,
        #[serde(flatten)]
        _rest: Option<MaybeId>,
    }
    #[derive(Deserialize)]
    struct Deeper {
        _more: Option<u8>,
        #[serde(flatten)]
        _rest: MaybeId,
    }
    #[derive(Message, Deserialize)]
    struct Deep {
        _text: String,
        #[serde(flatten)]
        _rest: Deeper,
    }
    for found in
        [received::<Strict>(), received::<Lax>(), received::<Optional>(), received::<Deep>()]
    {
        let [mistake] = &found[..] else { panic!("one mistake, not {found:?}") };
        assert!(mistake.contains("has a field `id`"), "{mistake}");
    }
    assert_eq!(received::<Flat>(), [""; 0]);
    assert_eq!(received::<Any>(), [""; 0]);
}

#[test]
fn a_message_type_that_is_not_an_object_is_a_mistake() {
    #[derive(Message, Deserialize)]
    struct List(Vec<u8>);
    #[derive(Message, Deserialize)]
    struct Word(String);
    #[derive(Message, Deserialize)]
    struct Number(Option<u8>);
    for found in [received::<List>(), received::<Word>(), received::<Number>()] {
        let [mistake] = &found[..] else { panic!("one mistake, not {found:?}") };
        assert!(mistake.contains("is not a JSON object"), "{mistake}");
    }
}

#[tokio::test]
async fn an_error_answer_is_a_refusal_whatever_its_code_is() {
    #[message("go")]
    async fn go(ws: WebSocket) -> Value {
        match ws.request::<Any>(&flat("x"), Duration::from_secs(5)).await {
            Err(RequestError::Refused { code, message }) => json!({ "refused": [code, message] }),
            other => json!({ "other": format!("{:?}", other.map(|Any(value)| value)) }),
        }
    }
    let server = TestServer::new(Router::new().routes(routes![go]));
    let mut client = server.connect().await;
    for (code, read) in [
        (r#""no""#, "no"),
        (r#""n\u006f""#, "no"),
        ("404", "404"),
        ("-1.5e999", "-1.5e999"),
        ("null", ""),
        ("true", ""),
        (r#"{"a":[1]}"#, ""),
        ("[]", ""),
    ] {
        client.send_text(r#"{"type":"go"}"#).await;
        let id = client.recv_json().await["id"].clone();
        let text =
            format!(r#"{{"type":"error","correlation_id":{id},"code":{code},"message":{code}}}"#);
        client.send_text(&text).await;
        assert_eq!(client.recv_json().await, json!({ "refused": [read, read] }), "{code}");
    }
}

/// A map that serializes its keys and values separately.
struct Entries<K>(K);

impl<K: Serialize> Message for Entries<K> {
    const TYPE: &'static str = "chat";
}

impl<K: Serialize> Serialize for Entries<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_key(&self.0)?;
        map.serialize_value(&[1])?;
        map.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Id,
    Other,
}

#[derive(Message, Serialize)]
#[aiows(type = "chat")]
struct Variants(Variant);

#[derive(Serialize)]
enum Variant {
    #[serde(rename = "id")]
    Unit(u8),
    #[serde(rename = "type")]
    Struct { a: u8 },
    #[serde(rename = "correlation_id")]
    Tuple(u8, u8),
}

#[tokio::test]
async fn a_repeated_key_of_the_head_is_detected_however_it_is_serialized() {
    for refused in [
        sent(&Entries("id")).await,
        sent(&Entries(String::from("correlation_id"))).await,
        sent(&Entries(Word::Id)).await,
        sent(&Variants(Variant::Unit(1))).await,
        sent(&Variants(Variant::Struct { a: 1 })).await,
        sent(&Variants(Variant::Tuple(1, 2))).await,
    ] {
        assert!(matches!(refused, Err(SendError::Encode(_))), "{refused:?}");
    }
    let head = r#"{"type":"chat","correlation_id":7"#;
    for (written, rest) in [
        (sent(&Entries(Word::Other)).await, r#","other":[1]}"#),
        (sent(&Entries(7)).await, r#","7":[1]}"#),
        (sent(&Entries(true)).await, r#","true":[1]}"#),
        (sent(&Entries('i')).await, r#","i":[1]}"#),
        (sent(&Entries("\"id\"")).await, r#","\"id\"":[1]}"#),
    ] {
        assert_eq!(written.unwrap(), format!("{head}{rest}"));
    }
    // A key that is not a string cannot be a key of an object.
    assert!(matches!(sent(&Entries([1])).await, Err(SendError::Encode(_))));
}

#[tokio::test]
async fn a_repeated_tag_is_detected_even_if_its_key_is_a_letter_or_a_number() {
    #[message("go")]
    async fn go(ws: WebSocket) -> Result {
        ws.send(&Entries('t')).await?;
        Ok(())
    }
    #[message("count")]
    async fn count(ws: WebSocket) -> Result {
        ws.send(&Entries(7)).await?;
        Ok(())
    }
    for (tag, refused, other) in [("t", "go", "count"), ("7", "count", "go")] {
        let router = Router::new().routes(routes![go, count]).tag(tag);
        let server = TestServer::new(router);
        let mut client = server.connect().await;
        client.send_json(&json!({ tag: refused })).await;
        assert_eq!(client.recv_json().await["code"], "internal");
        client.send_json(&json!({ tag: other })).await;
        assert_eq!(client.recv_json().await[tag], "chat");
    }
}
