//! Messages made to break a JSON parser. Each gets a short error, and the connection stays open.

use aiows::{Message, Router, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::kit::over_both;
use crate::raw::{Raw, masked};

#[derive(Message, Deserialize, Serialize)]
struct Order {
    name: String,
    #[serde(default)]
    amount: u8,
}

#[message("order")]
async fn order(order: Order) -> Order {
    order
}

/// Returns texts that are not valid orders.
pub fn texts() -> Vec<String> {
    let order = |rest: &str| format!(r#"{{"type":"order","name":"ann",{rest}}}"#);
    let many = |part: &str, count: usize| part.repeat(count);
    let keys: Vec<_> = (0..50_000).map(|number| format!(r#""k{number}":1"#)).collect();
    vec![
        order(&format!(r#""a":{}1{}"#, many("[", 100_000), many("]", 100_000))),
        order(&format!(r#""a":{}1{}"#, many(r#"{"a":"#, 100_000), many("}", 100_000))),
        many("[", 100_000),
        many(r#"{"type":"#, 100_000),
        order(&format!(r#""amount":"x",{}"#, keys.join(","))),
        format!("{{{}}}", keys.join(",")),
        order(&format!(r#""amount":{}"#, many("9", 100_000))),
        order(&format!(r#""amount":0.{}"#, many("9", 100_000))),
        order(&format!(r#""amount":[{}1]"#, many("1,", 100_000))),
        order(r#""amount":1e400"#),
        order(r#""amount":-1e-400"#),
        order(&format!(r#""{}":1,"amount":"x""#, many("k", 100_000))),
        r#"{"type":"order","name":"\ud800"}"#.to_owned(),
        r#"{"type":"order","name":"\udc00\ud800"}"#.to_owned(),
        "{\"type\":\"order\",\"name\":\"a\0b\"}".to_owned(),
        "\0".to_owned(),
        String::new(),
        many(" ", 100_000),
        order(&format!(r#""amount":"{}"#, many(r"\u0041", 100_000))),
    ]
}

/// Expects a short error that reveals no internals of the server.
pub async fn expect_short_error<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>, text: &str) {
    let frame = raw.read_frame().await.expect("an answer");
    let answer = frame.text();
    assert_eq!(frame.first, 0x81, "{text:.60}: {answer}");
    assert!(answer.len() <= 4096, "{text:.60}: {} bytes", answer.len());
    let error: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(error["type"], "error", "{text:.60}: {answer}");
    let code = error["code"].as_str().unwrap();
    let expected = ["invalid_json", "invalid_message", "invalid_payload"];
    assert!(expected.contains(&code), "{text:.60}: {answer}");
    for inside in ["line", "column", ".rs", "panic", "serde"] {
        assert!(!answer.contains(inside), "{text:.60}: {answer}");
    }
}

#[tokio::test]
async fn a_hostile_text_gets_a_short_error_and_the_connection_stays_open() {
    over_both(
        || Router::new().routes(routes![order]).into(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            for text in texts() {
                raw.write_while_reading(&masked(0x81, text.as_bytes())).await;
                expect_short_error(&mut raw, &text).await;
            }
            raw.send_text(r#"{"type":"order","name":"ann","amount":1}"#).await;
            raw.expect_text(r#"{"type":"order","name":"ann","amount":1}"#).await;
        },
    )
    .await;
}
