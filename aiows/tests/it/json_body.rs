//! `JsonBody` in HTTP handlers. A decoded value is never nested deeper than the body.

use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use aiows::server::JsonBody;
use aiows::{Router, Server};

use super::kit::TestServer;
use crate::raw::Raw;

const JSON: &str = "application/json";

#[derive(Deserialize)]
struct Hook {
    name: String,
    #[serde(default)]
    data: Value,
}

fn server() -> TestServer {
    let application = axum::Router::new()
        .route("/value", post(async |JsonBody(value): JsonBody<Value>| value.to_string()))
        .route(
            "/hook",
            post(async |JsonBody(hook): JsonBody<Hook>| format!("{} {}", hook.name, hook.data)),
        );
    TestServer::new(Server::from(Router::new()).http(application))
}

async fn post_body(server: &TestServer, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
    let mut raw = Raw::reach(server).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    raw.write(&[head.as_bytes(), body].concat()).await;
    let (status, _, body) = raw.read_answer().await;
    (status, body)
}

fn nested(depth: usize, value: &str) -> String {
    format!("{}{value}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn a_body_may_be_any_json() {
    let server = server();
    for kind in [JSON, "Application/JSON; charset=utf-8", "application/cloudevents+json"] {
        for value in [json!({ "a": [1, null] }), json!("$serde_json::private::RawValue")] {
            let value = value.to_string();
            let answer = post_body(&server, "/value", kind, value.as_bytes()).await;
            assert_eq!(answer, (200, value), "{kind}");
        }
    }
    let answer = post_body(&server, "/hook", JSON, br#"{"name":"a","data":{"b":1}}"#).await;
    assert_eq!(answer, (200, r#"a {"b":1}"#.into()));
}

#[tokio::test]
async fn a_body_with_a_key_that_makes_serde_json_parse_a_string_again_is_refused() {
    let server = server();
    let reserved = (400, "the body has a key that is reserved".to_owned());
    // Six documents of 100 levels each, nested as strings within strings.
    let disguised = (0..6).fold(nested(100, "1"), |value, _| {
        let inner = serde_json::to_string(&value).unwrap();
        nested(100, &format!(r#"{{"$serde_json::private::RawValue":{inner}}}"#))
    });
    for body in [
        &*disguised,
        r#"{"$serde_json::private::RawValue":"1"}"#,
        r#"{"name":"a","data":{"\u0024serde_json::private::RawValue":"[1]"}}"#,
        r#"{"name":"a","data":[{"$serde_json::private::Number":"1"}]}"#,
    ] {
        for path in ["/value", "/hook"] {
            assert_eq!(
                post_body(&server, path, JSON, body.as_bytes()).await,
                reserved,
                "{body:.60}"
            );
        }
    }
}

#[tokio::test]
async fn other_bodies_are_refused_with_the_status_that_axum_uses() {
    let server = server();
    let invalid = (400, "the body is not valid JSON".to_owned());
    for body in [&b"{"[..], b"", b"\"\xff\"", b"{} {}", nested(500, "1").as_bytes()] {
        assert_eq!(post_body(&server, "/value", JSON, body).await, invalid);
    }
    let unfit = (422, "the body does not have the expected fields".to_owned());
    for body in [r#"{"name":7}"#, "{}", "[]"] {
        assert_eq!(post_body(&server, "/hook", JSON, body.as_bytes()).await, unfit, "{body}");
    }
    for kind in ["text/plain", "", "application/jsonp", "text/json", "application/x-json5"] {
        assert_eq!(post_body(&server, "/value", kind, b"{}").await.0, 415, "{kind}");
    }
    let large = format!("\"{}\"", "x".repeat(3_000_000));
    let head = format!(
        "POST /value HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {JSON}\r\n\
         Content-Length: {}\r\n\r\n",
        large.len()
    );
    let mut raw = Raw::reach(&server).await;
    raw.write_while_reading([head, large].concat().as_bytes()).await;
    assert_eq!(raw.read_answer().await.0, 413);
}
