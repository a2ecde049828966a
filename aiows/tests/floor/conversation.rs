//! One conversation, run with the routes of [`routes`] and of `attributes`.

use aiows::testing::TestServer;
use aiows::{Router, Server};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Log, routes};

/// Builds a router for the conversation.
type BuildRouter = fn() -> Router;

const ROUTERS: &[(BuildRouter, BuildRouter, BuildRouter)] = &[
    (routes::router, routes::raw_router, routes::text_router),
    #[cfg(feature = "macros")]
    (super::attributes::router, super::attributes::raw_router, super::attributes::text_router),
];

/// Requests and their answers, without the `error_id` of an internal error.
fn script() -> Vec<(Value, Value)> {
    let error = |code: &str, text: &str, message_type: &str| {
        json!({
            "type": "error", "correlation_id": 1, "code": code, "message": text,
            "message_type": message_type,
        })
    };
    let internal = |message_type| error("internal", "internal error", message_type);
    let with = |mut value: Value, key: &str, more: Value| {
        value[key] = more;
        value
    };
    let invalid = error("validation_failed", "the message is not valid", "chat");
    let length = json!([{ "path": "text", "code": "length", "message": "is too long" }]);
    let full = error("room_full", "the room is full", "visible");
    let raw = json!({ "type": "raw", "id": "r", "x": 1 });
    vec![
        (json!({ "type": "greet" }), json!({ "type": "seen", "by": "hello ann" })),
        (json!({ "type": "count" }), json!({ "count": 1 })),
        (json!({ "type": "count", "id": 1 }), json!({ "correlation_id": 1, "count": 2 })),
        (json!({ "type": "info" }), json!({ "ip": false, "absent": true, "open": true })),
        (
            json!({ "type": "chat", "id": "q", "text": "hi" }),
            json!({ "type": "chat", "correlation_id": "q", "text": "hi" }),
        ),
        (json!({ "type": "chat", "id": 1, "text": "" }), with(invalid, "fields", length)),
        (raw.clone(), json!({ "correlation_id": "r", "raw": raw, "request": "r" })),
        (
            json!({ "type": "raw" }),
            json!({
                "type": "error", "code": "invalid_message", "message": "this message needs an `id`",
                "message_type": "raw",
            }),
        ),
        (json!({ "type": "maybe" }), json!({ "type": "seen", "by": "no id" })),
        (json!({ "type": "maybe", "id": 1 }), json!({ "type": "ack", "correlation_id": 1 })),
        (json!({ "type": "empty", "id": 1 }), json!({ "type": "ack", "correlation_id": 1 })),
        (json!({ "type": "value" }), json!({ "free": ["form", 1] })),
        (json!({ "type": "no.object", "id": 1 }), internal("no.object")),
        (json!({ "type": "one.of" }), json!({ "type": "seen", "by": "one of" })),
        (json!({ "type": "one.of", "echo": "x" }), json!({ "type": "chat", "text": "x" })),
        (json!({ "type": "visible", "id": 1 }), with(full, "params", json!({ "capacity": 50 }))),
        (json!({ "type": "hidden", "id": 1 }), internal("hidden")),
        (json!({ "type": "panic", "id": 1 }), internal("panic")),
        (json!({ "type": "dance" }), json!({ "type": "seen", "by": "a fallback" })),
        (json!({ "type": "close", "id": 1 }), error("enough", "go away", "close")),
    ]
}

#[tokio::test]
async fn routes_built_by_hand_answer_like_attributes() {
    for (router, ..) in ROUTERS {
        let (log, mut left) = mpsc::channel(1);
        let server = Server::new().route("/{name}", router()).state::<Log>(log).state("hello");
        let server = TestServer::new(server);
        let refused = server.try_connect("/ann", &[]).await.unwrap_err();
        assert_eq!((refused.status, refused.body.contains("ticket")), (400, true));
        let mut client = server.connect_to("/ann?ticket=3").await;
        let arrived = json!({ "name": "ann", "ticket": 3, "host": true });
        assert_eq!(client.recv_json().await, arrived);
        for (request, expected) in script() {
            client.send_json(&request).await;
            let mut answer = client.recv_json().await;
            if answer["code"] == "internal" {
                let id = answer.as_object_mut().and_then(|answer| answer.remove("error_id"));
                assert!(id.is_some(), "{answer}");
            }
            assert_eq!(answer, expected, "{request}");
        }
        assert_eq!(client.expect_closed(4000).await, "go away");
        assert_eq!(left.recv().await.unwrap(), "closed (4000): go away");
    }
}

#[tokio::test]
async fn fallbacks_receive_frames_that_are_not_messages() {
    for (_, raw, text) in ROUTERS {
        let server = TestServer::new(raw());
        let mut client = server.connect().await;
        client.send_binary(&[0, 255]).await;
        assert_eq!(client.recv_binary().await, [0, 255]);
        let server = TestServer::new(text());
        let mut client = server.connect().await;
        client.send_text("no JSON").await;
        assert_eq!(client.recv_json().await, json!({ "type": "seen", "by": "no JSON" }));
    }
}
