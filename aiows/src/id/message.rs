//! The id of a request.

use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The length of the longest id that is a string, in bytes after unescaping.
const MAX_LENGTH: usize = 64;

/// The `id` of a request: a string of at most 64 bytes, or an integer.
///
/// It is kept in the form in which the client wrote it, so that the answer has it byte for byte as
/// its `correlation_id`. Cloning is cheap.
///
/// ```
/// use aiows::MessageId;
///
/// let id: MessageId = serde_json::from_str("17").unwrap();
/// assert_eq!(id, MessageId::from(17));
/// assert_eq!(id.as_json(), "17");
/// assert_eq!(MessageId::from("a\"b").as_json(), r#""a\"b""#);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId {
    json: Arc<str>,
}

impl MessageId {
    /// Returns the id as JSON: digits, or a string in quotation marks.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Parses an id from the JSON of a message. Returns `None` unless it is a short string or an
    /// integer.
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        let valid = match json.as_bytes().first()? {
            b'"' => is_short_string(json),
            b'-' | b'0'..=b'9' => {
                json.len() <= MAX_LENGTH && json.bytes().skip(1).all(|byte| byte.is_ascii_digit())
            }
            _ => false,
        };
        valid.then(|| Self { json: json.into() })
    }
}

fn is_short_string(json: &str) -> bool {
    // Unescaping never makes a string longer, so most ids need no parser.
    let escaped = json.contains('\\');
    match escaped {
        false => json.len() <= MAX_LENGTH + 2,
        true => serde_json::from_str::<String>(json).is_ok_and(|text| text.len() <= MAX_LENGTH),
    }
}

impl From<i64> for MessageId {
    fn from(id: i64) -> Self {
        Self { json: id.to_string().into() }
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self { json: serde_json::Value::from(id).to_string().into() }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({})", self.json)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.json).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Requested like a `RawValue`: serde_json then passes the text, and every other format the
        // value.
        deserializer.deserialize_newtype_struct(RAW_VALUE, IdVisitor)
    }
}

/// The name that serde_json uses for a `RawValue`.
pub(crate) const RAW_VALUE: &str = "$serde_json::private::RawValue";

struct IdVisitor;

impl IdVisitor {
    fn id<E: Error>(json: &str) -> Result<MessageId, E> {
        MessageId::from_json(json)
            .ok_or_else(|| E::custom("expected a string of at most 64 bytes or an integer"))
    }
}

impl<'de> Visitor<'de> for IdVisitor {
    type Value = MessageId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of at most 64 bytes or an integer")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MessageId, A::Error> {
        let raw = Box::<RawValue>::deserialize(MapAccessDeserializer::new(map))?;
        Self::id(raw.get())
    }

    /// Called for a field that was buffered before its type was known, like the fields of a
    /// flattened struct.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<MessageId, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<MessageId, E> {
        Ok(id.into())
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<MessageId, E> {
        Self::id(&id.to_string())
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<MessageId, E> {
        Self::id(&serde_json::Value::from(id).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_as_it_was_written() {
        for json in ["7", "-7", "0", r#""a""#, r#""a\u0041""#, "123456789012345678901234567890"] {
            assert_eq!(MessageId::from_json(json).unwrap().as_json(), json);
        }
    }

    #[test]
    fn only_short_strings_and_integers_are_ids() {
        let longest = format!("\"{}\"", "x".repeat(64));
        let too_long = format!("\"{}\"", "x".repeat(65));
        let escaped = format!("\"{}\"", "\\u0041".repeat(64));
        assert!(MessageId::from_json(&longest).is_some());
        assert!(MessageId::from_json(&escaped).is_some());
        for json in ["1.5", "1e3", "true", "[1]", "{}", &too_long] {
            assert_eq!(MessageId::from_json(json), None, "{json}");
        }
    }
}
