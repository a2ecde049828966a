//! Error messages have at most 4 KiB, no matter how much a client or the application puts into
//! them.

use std::collections::BTreeMap;

use aiows::error::FieldError;
use aiows::messages::BoundedVec;
use aiows::middleware::{Handshake, Middleware};
use aiows::testing::TestClient;
use aiows::{HandlerError, Message, Result, Router, Server, WireNames, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use validator::Validate;

use super::kit::TestServer;

/// The largest error message in bytes.
const MAX_FRAME: usize = 4096;

#[derive(Message, Deserialize, Validate)]
struct Order {
    #[serde(default)]
    #[validate(length(min = 1))]
    name: String,
    #[serde(default)]
    #[validate(nested)]
    items: Vec<Item>,
    #[serde(default)]
    #[validate(nested)]
    plain: Option<Vec<Plain>>,
    #[serde(default)]
    #[validate(nested)]
    by_key: BTreeMap<String, Item>,
    #[serde(default)]
    #[validate(nested)]
    tree: Option<Box<Tree>>,
}

#[derive(WireNames, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    #[validate(length(min = 1))]
    item_name: String,
    #[serde(default)]
    #[validate(nested)]
    parts: Vec<Part>,
}

#[derive(WireNames, Deserialize, Serialize, Validate)]
struct Part {
    #[serde(default)]
    #[validate(length(min = 1))]
    name: String,
}

/// A type without wire names.
#[derive(Deserialize, Validate)]
struct Plain {
    #[serde(default)]
    #[validate(length(min = 1))]
    name: String,
}

#[derive(WireNames, Deserialize, Validate)]
struct Tree {
    #[serde(default)]
    #[validate(length(max = 1))]
    a_name_that_makes_a_path_long: String,
    #[serde(default)]
    #[validate(nested)]
    children: Vec<Self>,
}

#[message("order")]
async fn order(_order: Order) {}

struct Shop {
    _server: TestServer,
    client: TestClient,
}

impl Shop {
    async fn open() -> Self {
        Self::of(Router::new().routes(routes![order])).await
    }

    async fn of(router: Router) -> Self {
        let server = TestServer::new(router);
        let client = server.connect().await;
        Self { _server: server, client }
    }

    /// Sends a text and reads an error of at most 4 KiB.
    async fn error_for(&mut self, text: &str) -> Value {
        self.client.send_text(text).await;
        let answer = self.client.recv_text().await;
        assert!(answer.len() <= MAX_FRAME, "{} bytes to {text:.100}", answer.len());
        serde_json::from_str(&answer).unwrap()
    }
}

/// Returns a message with as many copies of `value` as fit into 1 MiB.
fn full(head: &str, value: &str, tail: &str) -> String {
    let count = (1024 * 1024 - head.len() - tail.len()) / (value.len() + 1);
    format!("{head}{}{tail}", vec![value; count].join(","))
}

fn count(answer: &Value) -> usize {
    let fields = answer["fields"].as_array().map_or(0, Vec::len);
    assert!(fields <= 32, "{fields} fields");
    fields + usize::try_from(answer["more_fields"].as_u64().unwrap_or(0)).unwrap()
}

fn paths(answer: &Value) -> Vec<&str> {
    let fields = answer["fields"].as_array().unwrap().iter();
    fields.map(|field| field["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_error_lists_up_to_32_fields_and_counts_the_rest() {
    let mut shop = Shop::open().await;
    for (broken, listed, more) in [(31, 31, Value::Null), (32, 32, Value::Null), (33, 32, json!(1))]
    {
        let items = vec!["{}"; broken].join(",");
        let answer =
            shop.error_for(&format!(r#"{{"type":"order","name":"x","items":[{items}]}}"#)).await;
        assert_eq!(answer["code"], "validation_failed");
        let first = paths(&answer)[0].to_owned();
        assert_eq!((paths(&answer).len(), first.as_str()), (listed, "items[0].itemName"));
        assert_eq!(answer["more_fields"], more);
    }
}

#[tokio::test]
async fn an_error_lists_the_first_invalid_fields_of_a_message() {
    let mut shop = Shop::open().await;
    let items = vec![r#"{"itemName":"x","parts":[{},{}]}"#; 50].join(",");
    for _ in 0..5 {
        let text = format!(r#"{{"type":"order","name":"x","items":[{items}]}}"#);
        let answer = shop.error_for(&text).await;
        let mut expected: Vec<_> = (0..16)
            .flat_map(|item| (0..2).map(move |part| format!("items[{item}].parts[{part}].name")))
            .collect();
        expected.sort();
        let mut listed = paths(&answer);
        listed.sort_unstable();
        assert_eq!(listed, expected);
        assert_eq!(count(&answer), 100);
    }
}

#[tokio::test]
async fn a_message_full_of_invalid_items_gets_a_small_error() {
    let mut shop = Shop::open().await;
    let order = r#"{"type":"order","name":"x","#;
    for (text, path) in [
        (full(&format!(r#"{order}"items":["#), "{}", "]}"), "items[0].itemName"),
        (full(&format!(r#"{order}"plain":["#), "{}", "]}"), "plain[0].name"),
        (
            full(&format!(r#"{order}"items":[{{"itemName":"x","parts":["#), "{}", "]}]}"),
            "items[0].parts[0].name",
        ),
        (
            full(&format!(r#"{order}"by_key":{{"a":{{"itemName":"x","parts":["#), "{}", "]}}}"),
            "by_key.a.parts[0].name",
        ),
        (
            full(
                &format!(r#"{order}"tree":{{"children":["#),
                r#"{"a_name_that_makes_a_path_long":"xx"}"#,
                "]}}",
            ),
            "tree.children[0].a_name_that_makes_a_path_long",
        ),
    ] {
        let answer = shop.error_for(&text).await;
        assert_eq!(answer["code"], "validation_failed");
        assert_eq!(paths(&answer)[0], path);
        assert!(count(&answer) >= 32);
    }
}

#[tokio::test]
async fn a_list_that_is_too_long_is_reported_by_its_length() {
    #[derive(Message, Deserialize, Validate)]
    struct Basket {
        #[serde(rename = "things")]
        #[validate(nested, length(min = 1, max = 100, message = "does not fit"))]
        items: Vec<Item>,
    }
    #[message("basket")]
    async fn basket(_basket: Basket) {}
    let mut shop = Shop::of(Router::new().routes(routes![basket])).await;
    let expected = json!([{
        "path": "things", "code": "length", "message": "does not fit",
        "params": { "min": 1, "max": 100 },
    }]);
    for items in [101, 1_000, 60_000] {
        let items = vec![r#"{"itemName":"x"}"#; items].join(",");
        let answer = shop.error_for(&format!(r#"{{"type":"basket","things":[{items}]}}"#)).await;
        assert_eq!(answer["fields"], expected);
    }
}

#[tokio::test]
async fn only_a_long_list_without_rules_for_its_items_hides_other_invalid_fields() {
    #[derive(Message, Deserialize, Validate)]
    struct Picture {
        #[validate(length(min = 1))]
        title: String,
        #[validate(length(max = 10))]
        pixels: Vec<u8>,
        #[validate(length(equal = 2, code = "pair"))]
        size: Option<BTreeMap<String, u8>>,
        #[serde(default)]
        #[validate(length(max = 10))]
        depths: Vec<u8>,
    }
    #[message("picture")]
    async fn picture(_picture: Picture) {}
    let mut shop = Shop::of(Router::new().routes(routes![picture])).await;
    for (pixels, listed) in [
        (10, &["size", "title"][..]),
        (11, &["pixels", "size", "title"]),
        (256, &["pixels", "size", "title"]),
        (257, &["pixels"]),
        (60_000, &["pixels"]),
    ] {
        let pixels = vec!["7"; pixels].join(",");
        let head = r#"{"type":"picture","title":"","size":{"x":1},"#;
        let answer = shop.error_for(&format!(r#"{head}"pixels":[{pixels}]}}"#)).await;
        assert_eq!(paths(&answer), listed);
    }
    // Two such lists are both listed.
    let many = vec![7; 300];
    let text = json!({ "type": "picture", "title": "", "pixels": &many, "depths": &many });
    let answer = shop.error_for(&text.to_string()).await;
    assert_eq!((paths(&answer), &answer["more_fields"]), (vec!["depths", "pixels"], &Value::Null));
    // Rules for the length of a list also apply to maps.
    let sizes: BTreeMap<_, _> = (0..1_000).map(|n| (n.to_string(), 1)).collect();
    let text = json!({ "type": "picture", "title": "", "pixels": [], "size": sizes }).to_string();
    assert_eq!(paths(&shop.error_for(&text).await), ["size"]);
}

#[tokio::test]
async fn a_bounded_list_is_refused_while_it_is_decoded() {
    #[derive(Message, Deserialize, Validate)]
    struct Basket {
        #[validate(length(min = 1), nested)]
        items: BoundedVec<Item, 100>,
    }
    #[message("basket")]
    async fn basket(_basket: Basket) {}
    let mut shop = Shop::of(Router::new().routes(routes![basket])).await;
    let answer = shop.error_for(&full(r#"{"type":"basket","items":["#, "{}", "]}")).await;
    let fields = json!([{ "path": "items", "code": "too_many", "message": "has too many items" }]);
    assert_eq!((&answer["code"], &answer["fields"]), (&json!("invalid_payload"), &fields));
    // The rules for the list and its items apply as for any other list.
    let answer = shop.error_for(r#"{"type":"basket","items":[{"itemName":"x"},{}]}"#).await;
    assert_eq!(paths(&answer), ["items[1].itemName"]);
    let answer = shop.error_for(r#"{"type":"basket","items":[]}"#).await;
    assert_eq!((paths(&answer), &answer["fields"][0]["code"]), (vec!["items"], &json!("length")));
}

#[tokio::test]
async fn an_error_lists_the_invalid_items_among_many_valid_ones() {
    let mut shop = Shop::open().await;
    let good = vec![r#"{"itemName":"x","parts":[{"name":"y"}]}"#; 5_000].join(",");
    let bad = r#"{"itemName":"x","parts":[{"name":"y"},{"name":""}]},{}"#;
    let text = format!(r#"{{"type":"order","items":[{good},{bad},{good}]}}"#);
    let answer = shop.error_for(&text).await;
    let expected = ["items[5000].parts[1].name", "items[5001].itemName", "name"];
    assert_eq!((paths(&answer), &answer["more_fields"]), (expected.to_vec(), &Value::Null));
    shop.client
        .send_text(&format!(r#"{{"type":"order","id":1,"name":"x","items":[{good}]}}"#))
        .await;
    assert_eq!(shop.client.recv_json().await["type"], "ack");
}

#[tokio::test]
async fn a_deep_path_is_truncated() {
    let mut shop = Shop::open().await;
    let (mut open, mut close) = (String::new(), String::new());
    for _ in 0..50 {
        open.push_str(r#"{"a_name_that_makes_a_path_long":"xx","children":["#);
        close.push_str("]}");
    }
    let text = format!(r#"{{"type":"order","name":"x","tree":{open}{close}}}"#);
    let answer = shop.error_for(&text).await;
    assert_eq!(count(&answer), 50);
    assert!(paths(&answer).iter().all(|path| path.len() <= 128), "{answer}");
}

#[tokio::test]
async fn an_application_error_that_is_too_large_is_sent_without_its_params() {
    #[message("large")]
    async fn large() -> Result {
        Err(HandlerError::new("full", "the room is full").with("members", vec!["ann"; 10_000]))
    }
    #[message("long")]
    async fn long() -> Result {
        Err(HandlerError::new("c".repeat(5_000), "ü".repeat(5_000)).with("max", 7))
    }
    #[message("fields")]
    async fn fields() -> Result {
        let field = |n: usize| FieldError::new(format!("f{n}"), "bad", "m".repeat(1_000));
        Err(HandlerError::invalid((0..100).map(field)))
    }
    #[message("field")]
    async fn field() -> Result {
        Err(HandlerError::invalid([FieldError::new("f".repeat(5_000), "bad", "is bad")]))
    }
    let mut shop = Shop::of(Router::new().routes(routes![large, long, fields, field])).await;
    let id = "i".repeat(64);
    let mut error_of =
        async |kind: &str| shop.error_for(&json!({ "type": kind, "id": &id }).to_string()).await;
    let answer = error_of("large").await;
    let expected = json!({
        "type": "error", "code": "full", "message": "the room is full",
        "correlation_id": id, "message_type": "large",
    });
    assert_eq!(answer, expected);
    let answer = error_of("long").await;
    assert_eq!(answer["correlation_id"], id);
    let (code, message) = (answer["code"].as_str().unwrap(), answer["message"].as_str().unwrap());
    assert!(code.starts_with("ccc") && code.len() <= 128, "{code}");
    assert!(message.starts_with("üüü"), "{message}");
    let answer = error_of("fields").await;
    assert_eq!((count(&answer), paths(&answer)[0]), (100, "f0"));
    let answer = error_of("field").await;
    assert_eq!(paths(&answer)[0], "f".repeat(128));
}

#[tokio::test]
async fn an_error_full_of_control_characters_is_small_too() {
    // One byte of text may take six bytes in JSON.
    #[message("noise")]
    async fn noise() -> Result {
        let noise = "\u{1}".repeat(5_000);
        let fields = (0..40).map(|_| FieldError::new(noise.clone(), noise.clone(), noise.clone()));
        Err(HandlerError::invalid(fields).with("noise", &noise))
    }
    let mut shop = Shop::of(Router::new().routes(routes![noise])).await;
    let answer = shop.error_for(r#"{"type":"noise","id":"\u0001\u0001"}"#).await;
    assert_eq!((&answer["code"], count(&answer)), (&json!("validation_failed"), 40));
}

#[tokio::test]
async fn a_close_reason_made_of_an_error_is_truncated() {
    #[message("close")]
    async fn close() -> Result {
        Err(HandlerError::new("bye", "é".repeat(5_000)).close(4001))
    }
    let mut shop = Shop::of(Router::new().routes(routes![close])).await;
    let answer = shop.error_for(r#"{"type":"close"}"#).await;
    assert!(answer["message"].as_str().unwrap().starts_with("éé"));
    assert_eq!(shop.client.expect_closed(4001).await, "é".repeat(61));
}

#[tokio::test]
async fn a_refused_request_has_a_small_body() {
    struct Large;
    impl Middleware for Large {
        async fn on_handshake(&self, _handshake: &Handshake) -> Result {
            let error = HandlerError::new("full", "the server is full");
            Err(error.with("members", vec!["ann"; 10_000]).status(503))
        }
    }
    let server = TestServer::new(Server::from(Router::new()).middleware(Large));
    let refused = server.try_connect("/", &[]).await.unwrap_err();
    assert!(refused.body.len() <= MAX_FRAME, "{} bytes", refused.body.len());
    let body: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(body, json!({ "error": { "code": "full", "message": "the server is full" } }));
}
