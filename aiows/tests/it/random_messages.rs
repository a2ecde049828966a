//! Every message that is returned, sent, replied or requested is one JSON object that contains each
//! key of the head at most once.
//!
//! The messages are generated from seeds. They are objects with keys and values of every kind,
//! including the keys of the head in various spellings, and are sent through every kind of message.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use aiows::error::RequestError;
use aiows::{Message, Result, Router, ServerHandle, WebSocket, message, routes};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::kit::TestServer;
use crate::random::Random;

/// The number of messages for each tag.
const MESSAGES: usize = 400;
const TAGS: [&str; 4] = ["type", "action", "t", "a\"\u{e9}\\"];

#[derive(Message, Deserialize, Serialize)]
struct Any(Value);

#[derive(Message, Serialize)]
struct Raw(Box<RawValue>);

#[derive(Message, Deserialize, Serialize)]
struct Flat {
    own: Option<u8>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Message, Deserialize, Serialize)]
struct Flatter {
    #[serde(flatten)]
    first: BTreeMap<String, Kept>,
    #[serde(flatten)]
    second: Option<HashMap<String, Value>>,
}

#[derive(Deserialize, Serialize)]
struct Kept(Value);

#[derive(Message, Deserialize, Serialize)]
struct Perhaps(Option<Map<String, Value>>);

#[derive(Message, Serialize)]
#[serde(transparent)]
struct Wrapped {
    inner: Inner,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Inner {
    Raw(Box<RawValue>),
    Entries(BTreeMap<String, Box<RawValue>>),
}

#[derive(Message)]
enum Answer {
    Any(Any),
    Raw(Raw),
    Flat(Flat),
    Flatter(Flatter),
    Perhaps(Perhaps),
    Wrapped(Wrapped),
}

/// Generates objects, and sometimes other JSON values.
struct Objects(Random);

impl Objects {
    /// Returns a key as JSON, sometimes one of the head, sometimes with an escape.
    fn key(&mut self, tag: &str) -> String {
        let heads = [tag, "id", "correlation_id", "type"];
        let others = ["a", "own", "", "Type", "ids", "\u{1f600}", "q\"", "b\\", "correlation-id"];
        let key = match self.0.below(4) {
            0 => self.0.of(&heads),
            _ => self.0.of(&others),
        };
        let json = Value::from(key).to_string();
        match key.chars().next() {
            Some(first) if first.is_ascii_alphabetic() && self.0.below(4) == 0 => {
                format!("\"\\u{:04x}{}", u32::from(first), &json[2..])
            }
            _ => json,
        }
    }

    fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n\t "][self.0.below(5)]
    }

    fn value(&mut self) -> &'static str {
        [
            "1",
            "-2.50",
            "null",
            "true",
            r#""x""#,
            r#""}""#,
            r#"{"type":"x","id":1}"#,
            "[ {} , 1 ]",
            "{ }",
            r#""\ud83d\ude00""#,
        ][self.0.below(10)]
    }

    /// Returns an object, or sometimes another JSON value.
    fn object(&mut self, tag: &str) -> String {
        if self.0.below(12) == 0 {
            return self.0.of(&["null", "[]", "7", r#""{}""#, "[{\"a\":1}]"]).to_owned();
        }
        let mut text = format!("{{{}", self.space());
        for number in 0..self.0.below(4) {
            let comma = if number > 0 { "," } else { "" };
            let (key, value) = (self.key(tag), self.value());
            let spaces = [self.space(), self.space(), self.space(), self.space()];
            text += &format!(
                "{comma}{}{key}{}:{}{value}{}",
                spaces[0], spaces[1], spaces[2], spaces[3]
            );
        }
        text + "}"
    }
}

fn map<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    Ok(serde_json::from_str(text)?)
}

/// Wraps a client's JSON in one of the message types.
fn answer(way: usize, text: &str) -> Result<Answer> {
    Ok(match way {
        0 => Answer::Any(Any(map(text)?)),
        1 => Answer::Raw(Raw(map(text)?)),
        2 => Answer::Flat(Flat { own: Some(1), rest: map(text)? }),
        3 => Answer::Flatter(Flatter { first: BTreeMap::new(), second: Some(map(text)?) }),
        4 => Answer::Flatter(Flatter { first: map(text)?, second: None }),
        5 => Answer::Wrapped(Wrapped { inner: Inner::Raw(map(text)?) }),
        6 => Answer::Wrapped(Wrapped { inner: Inner::Entries(map(text)?) }),
        _ => Answer::Perhaps(Perhaps(map(text)?)),
    })
}

const WAYS: usize = 8;

#[derive(Message, Deserialize)]
struct Go {
    how: String,
    way: usize,
    text: String,
}

#[message("go")]
async fn go(ws: WebSocket, server: ServerHandle, go: Go) -> Result<Option<Answer>> {
    let message = answer(go.way, &go.text)?;
    match &*go.how {
        "return" => return Ok(Some(message)),
        "send" => ws.send(&message).await?,
        "reply" => ws.reply(&"r".into(), &message).await?,
        "request" => match ws.request::<Any>(&message, Duration::ZERO).await {
            Err(RequestError::Timeout) => {}
            other => drop(other?),
        },
        _ => {
            ws.join("lobby").await?;
            server.hub().room("lobby").send(&message).await?;
        }
    }
    Ok(None)
}

#[message("value")]
async fn value(go: Go) -> Result<Value> {
    map(&go.text)
}

/// The keys of a JSON object, including repeated ones.
#[derive(Debug, Default, PartialEq)]
struct Heads(Vec<String>);

impl<'de> Deserialize<'de> for Heads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Heads;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Heads, A::Error> {
                let mut heads = Heads::default();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    heads.0.push(key);
                }
                Ok(heads)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Returns how often each key of the head occurs in a text, which must be one JSON object.
fn counts(text: &str, heads: [&str; 3]) -> [usize; 3] {
    let Heads(keys) = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    heads.map(|head| keys.iter().filter(|key| *key == head).count())
}

#[tokio::test]
async fn every_sent_message_is_one_object_with_each_key_of_the_head_at_most_once() {
    let (mut accepted, mut refused) = (0, 0);
    for (number, tag) in TAGS.into_iter().enumerate() {
        let heads = [tag, "id", "correlation_id"];
        let router = Router::new().routes(routes![go, value]).tag(tag);
        let server = TestServer::new(router);
        let mut random = Objects(Random(0x9e37_79b9_7f4a_7c15 + u64::try_from(number).unwrap()));
        for _ in 0..MESSAGES {
            let mut client = server.connect().await;
            let (text, way) = (random.object(tag), random.0.below(WAYS));
            let how = random.0.of(&["return", "return", "send", "reply", "request", "room"]);
            let id = (how == "return" && random.0.below(2) == 0).then_some(9);
            let mut message = json!({ "how": how, "way": way, "text": text, "id": id });
            message[tag] = "go".into();
            client.send_json(&message).await;
            let got = client.recv_text().await;
            let about = format!("{how} {way} {text:?} as {got}");
            let failed = serde_json::from_str::<Value>(&got).unwrap()["code"] == "internal";
            let expected = match how {
                "request" if !failed => [1, 1, 0],
                "reply" if !failed => [1, 0, 1],
                _ => [1, 0, usize::from(id.is_some())],
            };
            assert_eq!(counts(&got, heads), expected, "{about}");
            let is_own = serde_json::from_str::<Heads>(&text).is_ok_and(|Heads(keys)| {
                heads.iter().all(|head| !keys.iter().any(|key| key == head))
            });
            if text != "null" {
                assert_eq!(failed, !is_own, "{about}");
            }
            *(if failed { &mut refused } else { &mut accepted }) += 1;

            message[tag] = "value".into();
            client.send_json(&message).await;
            let got = client.recv_text().await;
            assert!(counts(&got, heads).into_iter().all(|count| count <= 1), "{text:?} as {got}");
        }
    }
    assert!(accepted > MESSAGES && refused > MESSAGES, "{accepted} and {refused}");
}
