//! The error messages that clients receive, and the details that they never contain.

use std::time::Duration;

use aiows::middleware::{Handshake, Middleware};
use aiows::testing::TestClient;
use aiows::{
    HandlerError, Limits, Message, Result, Router, Server, WebSocket, WireNames, fallback, message,
    routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use validator::Validate;

use super::kit::TestServer;

#[derive(Message, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    #[validate(length(min = 2, max = 5))]
    customer_name: String,
    #[serde(default = "one")]
    #[validate(range(min = 1, max = 9, message = "is not a sensible amount"))]
    amount: u32,
    #[serde(default)]
    #[validate(nested)]
    tags: Vec<Tag>,
    #[serde(rename = "mail")]
    #[validate(email)]
    email: Option<String>,
}

#[derive(WireNames, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Tag {
    #[validate(length(min = 1))]
    tag_name: String,
}

fn one() -> u32 {
    1
}

#[message("order")]
async fn order(order: Order) -> Order {
    order
}

async fn orders() -> (TestServer, TestClient) {
    let server = TestServer::new(Router::new().routes(routes![order]));
    let client = server.connect().await;
    (server, client)
}

async fn answer_to(client: &mut TestClient, text: &str) -> Value {
    client.send_text(text).await;
    client.recv_json().await
}

#[tokio::test]
async fn defaults_and_renames_of_serde_hold() {
    let (_server, mut client) = orders().await;
    let answer =
        answer_to(&mut client, r#"{"type":"order","customerName":"ann","mail":"a@b.de"}"#).await;
    let expected = json!({
        "type": "order", "customerName": "ann", "amount": 1, "tags": [], "mail": "a@b.de",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_failed_decode_names_the_field_and_not_the_value() {
    let (_server, mut client) = orders().await;
    for (fields, path, code, message) in [
        (r#""amount":1"#, "customerName", "missing", "is required"),
        (r#""customerName":"ann","amount":"s3cret""#, "amount", "wrong_type", "has the wrong type"),
        (
            r#""customerName":"ann","amount":-31337"#,
            "amount",
            "invalid_value",
            "does not have an accepted value",
        ),
        (
            r#""customerName":"ann","s3cret":1"#,
            "s3cret",
            "unknown",
            "is not a field of this message",
        ),
        (
            r#""customerName":"ann","customerName":"x""#,
            "customerName",
            "duplicate",
            "is given twice",
        ),
        (
            r#""customerName":"ann","tags":[{"tagName":"a"},{"tagName":31337}]"#,
            "tags[1].tagName",
            "wrong_type",
            "has the wrong type",
        ),
    ] {
        let answer =
            answer_to(&mut client, &format!(r#"{{"type":"order","id":8,{fields}}}"#)).await;
        let expected = json!({
            "type": "error",
            "code": "invalid_payload",
            "message": "the message does not have the expected fields",
            "correlation_id": 8,
            "message_type": "order",
            "fields": [{ "path": path, "code": code, "message": message }],
        });
        assert_eq!(answer, expected, "{fields}");
    }
}

#[tokio::test]
async fn a_failed_validation_names_every_field_as_on_the_wire() {
    let (_server, mut client) = orders().await;
    let request = r#"{"type":"order","customerName":"x","amount":0,"mail":"nonsense",
        "tags":[{"tagName":"a"},{"tagName":""}],"id":"r1"}"#;
    let expected = json!({
        "type": "error",
        "code": "validation_failed",
        "message": "the message is not valid",
        "correlation_id": "r1",
        "message_type": "order",
        "fields": [
            {
                "path": "amount", "code": "range", "message": "is not a sensible amount",
                "params": { "min": 1, "max": 9 },
            },
            {
                "path": "customerName", "code": "length", "message": "has a length out of bounds",
                "params": { "min": 2, "max": 5 },
            },
            { "path": "mail", "code": "email", "message": "is not an e-mail address" },
            {
                "path": "tags[1].tagName", "code": "length",
                "message": "has a length out of bounds", "params": { "min": 1 },
            },
        ],
    });
    assert_eq!(answer_to(&mut client, request).await, expected);
}

#[tokio::test]
async fn a_must_match_error_does_not_repeat_the_values() {
    #[derive(Message, Deserialize, Validate)]
    struct Register {
        #[validate(must_match(other = "repeated"))]
        password: String,
        repeated: String,
    }
    #[message("register")]
    async fn register(_register: Register) {}
    let server = TestServer::new(Router::new().routes(routes![register]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"register","password":"s3cret-a","repeated":"s3cret-b"}"#).await;
    let text = client.recv_text().await;
    assert!(!text.contains("s3cret"), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let expected = json!([{
        "path": "password", "code": "must_match",
        "message": "does not match the field it must match",
    }]);
    assert_eq!(answer["fields"], expected);
}

#[tokio::test]
async fn a_message_with_an_invalid_head_gets_the_matching_error_code() {
    let (_server, mut client) = orders().await;
    for (text, code, id) in [
        ("nonsense", "invalid_json", json!(null)),
        (r#"{"type":"order","customerName":"ann""#, "invalid_json", json!(null)),
        (r#"{"type":"order","customerName":"ann"} x"#, "invalid_json", json!(null)),
        (r#"{"type":"unknown","id":1"#, "invalid_json", json!(null)),
        ("[]", "invalid_message", json!(null)),
        (r#"{"id":1}"#, "invalid_message", json!(null)),
        (r#"{"type":"order","customerName":"ann","id":[]}"#, "invalid_message", json!(null)),
        (r#"{"type":"order","id":1,"customerName":"ann","id":1}"#, "invalid_message", json!(null)),
        (r#"{"type":"order","customerName":"ann","type":"x"}"#, "invalid_message", json!(null)),
        (r#"{"type":"unknown","id":1}"#, "unknown_type", json!(1)),
    ] {
        let answer = answer_to(&mut client, text).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{text}");
        assert_eq!(answer["correlation_id"], id, "{text}");
    }
    let answer = answer_to(&mut client, r#"{"type":"order","customerName":"ann"}"#).await;
    assert_eq!(answer["type"], "order");
}

#[tokio::test]
async fn an_error_does_not_repeat_a_long_unknown_type() {
    let (_server, mut client) = orders().await;
    let answer = answer_to(&mut client, &format!(r#"{{"type":"{}"}}"#, "x".repeat(65))).await;
    let expected = json!({
        "type": "error", "code": "unknown_type", "message": "no handler serves this message type",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_nesting_limit_is_exact_even_in_fields_that_are_skipped() {
    #[message("any")]
    async fn any() {}
    let mut limits = Limits::default();
    limits.nesting = 10;
    let router = Router::new().routes(routes![any]);
    let server = TestServer::new(Server::new().include_router(router).limits(limits));
    let mut client = server.connect().await;
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"type":"any","id":1,"a":{open}{close}}}"#)
    };
    assert_eq!(answer_to(&mut client, &nested(10)).await["type"], "ack");
    let refused = answer_to(&mut client, &nested(11)).await;
    assert_eq!(refused["code"], "invalid_json");
    assert_eq!(refused["message"], "the message is nested too deeply");
}

#[message("fail")]
async fn fail() -> Result {
    Err("the database is at 10.0.0.7")?
}

#[message("refuse")]
async fn refuse() -> Result<(), HandlerError> {
    let error = HandlerError::new("room_full", "the room is full").with("capacity", 50);
    Err(error.retry_after(Duration::from_millis(1500)))
}

#[message("panic")]
async fn panics() {
    panic!("the secret is 42");
}

#[message("late_panic")]
async fn panics_late() {
    tokio::task::yield_now().await;
    panic!("the secret is 43");
}

#[tokio::test]
async fn a_visible_error_contains_everything_that_it_was_given() {
    let server = TestServer::new(Router::new().routes(routes![refuse]));
    let mut client = server.connect().await;
    let expected = json!({
        "type": "error", "code": "room_full", "message": "the room is full",
        "correlation_id": 1, "message_type": "refuse",
        "params": { "capacity": 50 }, "retry_after_ms": 1500,
    });
    assert_eq!(answer_to(&mut client, r#"{"type":"refuse","id":1}"#).await, expected);
}

#[tokio::test]
async fn the_longest_retry_delay_is_a_number_that_every_client_can_read() {
    #[message("wait")]
    async fn wait() -> Result {
        Err(HandlerError::new("busy", "never").retry_after(Duration::MAX))
    }
    let server = TestServer::new(Router::new().routes(routes![wait]));
    let mut client = server.connect().await;
    let answer = answer_to(&mut client, r#"{"type":"wait","id":1}"#).await;
    // RFC 7493 section 2.2: not every JSON parser reads larger integers exactly.
    assert_eq!(answer["retry_after_ms"], json!((1_u64 << 53) - 1));
}

#[tokio::test]
async fn a_refusal_may_have_the_longest_retry_delay() {
    struct Busy;
    impl Middleware for Busy {
        async fn on_handshake(&self, _handshake: &Handshake) -> Result {
            Err(HandlerError::new("busy", "never").status(503).retry_after(Duration::MAX))
        }
    }
    let server = TestServer::new(Server::from(Router::new()).middleware(Busy));
    let refused = server.try_connect("/", &[]).await.unwrap_err();
    assert_eq!(refused.status, 503, "{}", refused.body);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_client_may_have_the_longest_timeout() {
    #[derive(Message, Deserialize, Serialize)]
    struct Echo {}
    #[message("go")]
    async fn go(ws: WebSocket) -> Result<Value> {
        ws.request::<Echo>(&Echo {}, Duration::MAX).await?;
        Ok(json!({ "answered": true }))
    }
    let server = TestServer::new(Router::new().routes(routes![go]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"go"}"#).await;
    let (_, id) = client.recv_question::<Echo>().await;
    client.answer(id, &Echo {}).await;
    assert_eq!(client.recv_json().await, json!({ "answered": true }));
}

#[tokio::test]
async fn failures_and_panics_affect_no_other_client_and_reveal_no_details() {
    let server = TestServer::bind(Router::new().routes(routes![fail, panics, panics_late])).await;
    let mut client = server.connect().await;
    let mut bystander = server.connect().await;
    for message_type in ["fail", "panic", "late_panic", "fail"] {
        let request = format!(r#"{{"type":"{message_type}","id":"q"}}"#);
        let mut answer = answer_to(&mut client, &request).await;
        let error_id = answer["error_id"].take();
        assert_eq!(error_id.as_str().map(str::len), Some(16), "{message_type}");
        let expected = json!({
            "type": "error", "code": "internal", "message": "internal error",
            "correlation_id": "q", "message_type": message_type, "error_id": null,
        });
        assert_eq!(answer, expected, "{message_type}");
    }
    assert_eq!(answer_to(&mut bystander, r#"{"type":"fail"}"#).await["code"], "internal");
    assert_eq!(server.handle().stats().active, 2);
}

#[tokio::test]
async fn a_handler_without_a_payload_receives_only_valid_messages() {
    #[message("any")]
    async fn any() {}
    #[fallback]
    async fn other() {}
    let server = TestServer::new(Router::new().routes(routes![any, other]));
    let mut client = server.connect().await;
    for (text, code) in [
        (r#"{"type":"any","id":1"#, "invalid_json"),
        (r#"{"type":"any","id":1} "#, ""),
        (r#"{"type":"any","id":{}}"#, "invalid_message"),
        (r#"{"type":"some","id":1,"type":"some"}"#, "invalid_message"),
    ] {
        let answer = answer_to(&mut client, text).await;
        assert_eq!(answer["code"].as_str().unwrap_or_default(), code, "{text}");
    }
}
