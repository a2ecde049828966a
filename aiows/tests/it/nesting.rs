//! JSON is never decoded into a value that is nested deeper than the text itself.

use std::time::Duration;

use aiows::error::RequestError;
use aiows::extract::Call;
use aiows::messages::Incoming;
use aiows::{
    Hub, Message, RawMessage, Result, Router, Server, Text, WebSocket, fallback, message,
    middleware, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::kit::TestServer;
use crate::random::Random;

/// serde_json's private key for raw JSON.
const RAW: &str = "$serde_json::private::RawValue";
/// serde_json's private key for a number, used if an application enables `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

#[derive(Debug, Message, Deserialize, Serialize)]
struct Note {
    value: Value,
}

#[derive(Message, Deserialize)]
struct Flat {
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Message, Deserialize)]
struct Whole(Value);

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Either {
    Number(u8),
    Value(Value),
}

#[derive(Message, Deserialize)]
struct Untagged {
    value: Either,
}

fn echo(value: impl Serialize) -> Value {
    json!({ "type": "echo", "value": value })
}

#[message("note")]
async fn note(note: Note) -> Value {
    echo(note.value)
}

#[message("flat")]
async fn flat(flat: Flat) -> Value {
    echo(flat.rest)
}

#[message("whole")]
async fn whole(whole: Whole) -> Value {
    echo(whole.0)
}

#[message("untagged")]
async fn untagged(untagged: Untagged) -> Value {
    echo(untagged.value)
}

#[message("raw")]
async fn raw(raw: RawMessage) -> Result<Value> {
    raw.json().map(echo)
}

#[message("parsed")]
async fn parsed(raw: RawMessage) -> Result<Value> {
    raw.parse::<Note>().map(|note| echo(note.value))
}

#[message("text")]
async fn text(text: Text) -> Value {
    echo(text.0)
}

#[message("none")]
async fn none() -> Value {
    echo("none")
}

#[fallback]
async fn other(raw: RawMessage) -> Result<Value> {
    raw.json().map(echo)
}

const TYPES: [&str; 9] =
    ["note", "flat", "whole", "untagged", "raw", "parsed", "text", "none", "other"];

fn router() -> Router {
    Router::new().routes(routes![note, flat, whole, untagged, raw, parsed, text, none, other])
}

/// Wraps a value in this many arrays.
fn nested(depth: usize, value: &str) -> String {
    format!("{}{value}{}", "[".repeat(depth), "]".repeat(depth))
}

/// A value that is nested `levels` times 100 deep. serde_json starts a new nesting budget at every
/// level.
fn disguised(levels: usize) -> String {
    (0..levels).fold(nested(100, "1"), |value, _| {
        let inner = serde_json::to_string(&value).unwrap();
        nested(100, &format!(r#"{{"{RAW}":{inner}}}"#))
    })
}

async fn refused_as(client: &mut aiows::testing::TestClient, text: &str) -> (Value, Value) {
    client.send_text(text).await;
    let error = client.recv_json().await;
    assert_eq!(error["type"], "error", "{text:.80}");
    (error["code"].clone(), error["message"].clone())
}

#[tokio::test]
async fn a_value_that_serde_json_parses_again_does_not_bypass_the_nesting_limit() {
    let server = TestServer::new(router());
    let mut client = server.connect().await;
    for message_type in TYPES {
        for levels in [1, 2, 7] {
            let text = format!(r#"{{"type":"{message_type}","value":{}}}"#, disguised(levels));
            let refused = refused_as(&mut client, &text).await;
            let expected = ("invalid_json", "the message has a key that is reserved");
            assert_eq!(refused, (expected.0.into(), expected.1.into()), "{message_type} {levels}");
        }
    }
}

#[tokio::test]
async fn serde_json_s_private_keys_are_refused_in_every_spelling() {
    let server = TestServer::new(router());
    let mut client = server.connect().await;
    let escaped: String = RAW.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let capitals = RAW.replace('$', "\\u0024").replace(':', "\\u003A");
    let first = RAW.replacen('$', "\\u0024", 1);
    let last = RAW.replacen("te::", "te:\\u003a", 1);
    for key in [RAW, NUMBER, "$serde_json::private::", &escaped, &capitals, &first, &last] {
        for object in [
            format!(r#"{{"{key}":"1"}}"#),
            format!(r#"{{"a":1,"{key}" : "1"}}"#),
            format!("{{\"a\":\"\\\"\",\"{key}\"\n\t:7}}"),
            format!(r#"[{{"a":{{"{key}":null}}}}]"#),
        ] {
            for message_type in TYPES {
                let text = format!(r#"{{"type":"{message_type}","value":{object}}}"#);
                let (code, _) = refused_as(&mut client, &text).await;
                assert_eq!(code, "invalid_json", "{text}");
            }
        }
        let outer = format!(r#"{{"{key}":"{{}}","type":"whole"}}"#);
        assert_eq!(refused_as(&mut client, &outer).await.0, "invalid_json", "{outer}");
    }
}

#[tokio::test]
async fn strings_and_keys_that_resemble_private_keys_are_accepted() {
    let server = TestServer::new(router());
    let mut client = server.connect().await;
    for value in [
        json!(RAW),
        json!([RAW, ":"]),
        json!({ "key": RAW, "other": format!("{RAW}\":") }),
        json!({ "serde_json::private::RawValue": 1, "$": 2, "$ref": 3, "\u{24}serde_json": 4 }),
        json!({ "$serde_json::private:": 1, " $serde_json::private::": 2, "\\": "\\u0024" }),
        json!({ "\"$serde_json::private::": 1, "\\$serde_json::private::": "{\"$\":1}" }),
    ] {
        client.send_json(&json!({ "type": "note", "value": value })).await;
        assert_eq!(client.recv_json().await, echo(&value));
    }
    client.send_text(r#"{"type":"note","value":"\u0024serde_json::private::RawValue"}"#).await;
    assert_eq!(client.recv_json().await, echo(RAW));
}

#[tokio::test]
async fn a_client_s_answer_and_a_text_rewritten_by_middleware_are_checked_the_same_way() {
    #[derive(Debug, Message, Serialize)]
    struct Question {}
    #[message("go")]
    async fn go(ws: WebSocket) -> Result<Value> {
        match ws.request::<Note>(&Question {}, Duration::from_secs(5)).await {
            Err(RequestError::Invalid(error)) => {
                Ok(json!({ "type": "result", "code": error.code() }))
            }
            other => Ok(json!({ "type": "result", "code": format!("{other:?}") })),
        }
    }
    let rewriting = middleware::from_fn(|call: Call, next| async move {
        let text = call.text().unwrap_or_default().replace('#', "$");
        next.run(call.with_text(text)).await
    });
    let router = router().middleware(rewriting).routes(routes![go]);
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    client.send_json(&json!({ "type": "go" })).await;
    let id = client.recv_json().await["id"].clone();
    let answer = format!(r#"{{"type":"note","correlation_id":{id},"value":{{"{RAW}":"[1]"}}}}"#);
    client.send_text(&answer).await;
    assert_eq!(client.recv_json().await, json!({ "type": "result", "code": "invalid_json" }));
    for message_type in ["note", "flat", "whole", "untagged", "raw", "parsed", "other"] {
        let value = r##"{"#serde_json::private::RawValue":"[1]"}"##;
        let text = format!(r#"{{"type":"{message_type}","value":{value}}}"#);
        assert_eq!(refused_as(&mut client, &text).await.0, "invalid_json", "{message_type}");
    }
}

#[test]
fn json_that_does_not_fit_into_a_value_is_an_error_and_never_null() {
    let read = |fields: &str| {
        let raw = RawMessage::from_text(format!(r#"{{"type":"note",{fields}}}"#)).unwrap();
        (raw.json(), raw.parse::<Note>())
    };
    let (value, note) = read(r#""value":null"#);
    assert_eq!(value.unwrap(), json!({ "type": "note", "value": null }));
    assert_eq!(note.unwrap().value, Value::Null);
    for value in ["1e400", r#""\ud800""#, &nested(127, "1"), &nested(10_000, "1")] {
        let (json, note) = read(&format!(r#""value":{value}"#));
        for error in [json.unwrap_err(), note.unwrap_err()] {
            assert_eq!(error.code(), "invalid_payload", "{value:.20}");
            let [field] = error.fields() else { panic!("{error:?}") };
            assert!(field.path.starts_with("value"), "{value:.20}: {}", field.path);
        }
    }
    let private = format!(r#"{{"type":"note","value":{{"{RAW}":"[1]"}}}}"#);
    assert_eq!(RawMessage::from_text(private).unwrap_err().code(), "invalid_json");
}

#[tokio::test]
async fn member_information_that_is_accepted_is_always_in_the_member_list() {
    #[message("join")]
    async fn join(ws: WebSocket, hub: Hub, note: Note) -> Value {
        let about = json!({ "about": { "value": note.value } });
        let joined = ws.join_as("red", &about).await;
        let infos = hub.member_infos("red").len();
        ws.leave("red");
        let disguised = ws.join_as("red", &json!({ "about": { RAW: "[1]" } })).await;
        json!({ "type": "result", "joined": joined.is_ok(), "infos": infos, "disguised": disguised.is_ok() })
    }
    let server = TestServer::new(Router::new().routes(routes![join]));
    let mut client = server.connect().await;
    for (depth, joined) in [(125, true), (126, false)] {
        client.send_text(&format!(r#"{{"type":"join","value":{}}}"#, nested(depth, "1"))).await;
        let infos = usize::from(joined);
        let expected =
            json!({ "type": "result", "joined": joined, "infos": infos, "disguised": false });
        let mut answer = client.recv_json().await;
        while answer["type"] != "result" {
            answer = client.recv_json().await;
        }
        assert_eq!(answer, expected, "{depth}");
    }
}

#[test]
fn a_private_key_of_serde_json_as_a_tag_is_a_mistake() {
    let router = Router::new().tag(NUMBER).routes(routes![none]);
    let mistakes = Server::new().include_router(router).build().unwrap_err().to_string();
    let expected = format!("the tag of a router must not be `{NUMBER}`");
    assert!(mistakes.contains(&expected), "{mistakes}");
}

/// Generates random JSON.
struct Texts(Random);

impl Texts {
    fn string(&mut self, text: &str) -> String {
        let escapes = self.0.below(4);
        let mut json = String::from('"');
        for c in text.chars() {
            match c {
                _ if escapes == 0 && self.0.below(4) == 0 => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        json.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                '\n' => json.push_str("\\n"),
                '"' | '\\' => json.extend(['\\', c]),
                _ => json.push(c),
            }
        }
        json.push('"');
        json
    }

    /// Returns a key, and whether it is one of serde_json's private keys.
    fn key(&mut self) -> (String, bool) {
        let keys = ["a", "$", "b\"", "\\", "é", ":", "$serde_json", RAW, NUMBER];
        let at = self.0.below(40).min(keys.len() * 3) % keys.len();
        (self.string(keys[at]), keys[at].starts_with("$serde_json::private::"))
    }

    /// Returns a value, and whether it contains such a key.
    fn value(&mut self, left: usize) -> (String, bool) {
        let space = ["", " ", "\n"][self.0.below(3)];
        match self.0.below(if left == 0 { 3 } else { 7 }) {
            0 => (self.0.below(1000).to_string(), false),
            1 => {
                let text = ["", "a\\", "{\"a\":[", "[[[", RAW][self.0.below(5)];
                (self.string(text), false)
            }
            // JSON within a string may be nested to any depth.
            2 if left > 0 => {
                let (inner, _) = self.value(left - 1);
                let inner = nested(self.0.below(20), &inner);
                (self.string(&inner), false)
            }
            2 => ("null".to_owned(), false),
            3 => {
                let (inner, private) = self.value(left - 1);
                (nested(1 + self.0.below(30), &inner), private)
            }
            _ => {
                let mut any = false;
                let entries: Vec<_> = (0..1 + self.0.below(2))
                    .map(|_| {
                        let ((key, own), (value, private)) = (self.key(), self.value(left - 1));
                        any |= own || private;
                        format!("{space}{key}{space}:{space}{value}")
                    })
                    .collect();
                (format!("{{{}}}", entries.join(",")), any)
            }
        }
    }
}

/// Returns the nesting depth of a text, counted by its brackets outside of strings.
fn depth_of_text(text: &str) -> usize {
    let plain = text.replace(r"\\", "").replace(r#"\""#, "");
    let outside = plain.split('"').step_by(2).flat_map(str::chars);
    let depths = outside.scan(0_usize, |depth, c| {
        match c {
            '[' | '{' => *depth += 1,
            ']' | '}' => *depth -= 1,
            _ => {}
        }
        Some(*depth)
    });
    depths.max().unwrap_or(0)
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn decoded<T: Incoming>(raw: &RawMessage, value: impl FnOnce(T) -> Value) -> Option<usize> {
    raw.parse::<T>().ok().map(|message| depth_of(&value(message)))
}

#[test]
fn a_text_that_passes_the_check_is_decoded_no_deeper_than_it_is_nested() {
    let mut random = Texts(Random(0x51f0_77a4_11c9_e2d3));
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..6_000 {
        let (value, private) = random.value(5);
        let text = format!(r#"{{"type":"x","value":{value}}}"#);
        let raw = match RawMessage::from_text(&*text) {
            Ok(raw) => raw,
            Err(error) => {
                assert!(private, "{text}");
                assert_eq!(error.code(), "invalid_json", "{text}");
                refused += 1;
                continue;
            }
        };
        assert!(!private, "{text}");
        let bound = depth_of_text(&text);
        let whole = raw.json().ok().map(|value| depth_of(&value));
        assert_eq!(whole.is_some(), bound <= 127, "{text}");
        assert!(whole.is_none_or(|depth| depth <= bound), "{text}");
        let inner = [
            decoded(&raw, |note: Note| note.value),
            decoded(&raw, |flat: Flat| flat.rest.into()),
            decoded(&raw, |whole: Whole| whole.0),
            decoded(&raw, |untagged: Untagged| json!(untagged.value)),
        ];
        assert!(inner.iter().flatten().all(|depth| *depth <= bound), "{text}: {inner:?}");
        accepted += 1;
    }
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}
