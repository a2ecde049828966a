//! Parses the head of a message: the message type and the request id.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ID, Tag, check_keys};
use crate::error::{HandlerError, code};
use crate::id::MessageId;

/// The head of a message.
#[derive(Debug, PartialEq)]
pub(crate) struct Head<'a> {
    pub(crate) message_type: Cow<'a, str>,
    pub(crate) id: Option<MessageId>,
}

/// Finds the message type if it is the first key, which is where nearly every client writes it.
///
/// The rest of the text is not parsed. After `None`, call [`read_head`].
pub(crate) fn leading_type<'a>(tag: &Tag, text: &'a str) -> Option<&'a str> {
    let begun = match text.strip_prefix("{\"") {
        Some(begun) => begun,
        None => after(after(text, "{")?, "\"")?,
    };
    let rest = begun.strip_prefix(tag.key())?;
    let rest = match rest.strip_prefix("\":\"") {
        Some(rest) => rest,
        None => after(after(rest.strip_prefix('"')?, ":")?, "\"")?,
    };
    let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (rest.as_bytes()[end] == b'"').then(|| &rest[..end])
}

fn after<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    text.trim_ascii_start().strip_prefix(token)
}

/// Parses the head of a message, wherever its keys are, and proves that the whole text is JSON.
///
/// # Errors
///
/// Returns `invalid_json` if the text is not JSON or has a key that serde_json reserves for itself,
/// and `invalid_message` if the JSON is not a message.
pub(crate) fn read_head<'a>(tag: &Tag, text: &'a str) -> Result<Head<'a>, HandlerError> {
    check_keys(text)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let keys = match json.deserialize_map(HeadVisitor { tag }) {
        Ok(keys) if json.end().is_ok() => keys,
        _ if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            return Err(invalid_message("a message is a JSON object".into()));
        }
        _ => {
            return Err(HandlerError::new(code::INVALID_JSON, "the message is not valid JSON"));
        }
    };
    keys.into_head(tag)
}

fn invalid_message(text: Cow<'static, str>) -> HandlerError {
    HandlerError::new(code::INVALID_MESSAGE, text)
}

#[derive(Default)]
struct HeadKeys<'a> {
    message_type: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    repeated: bool,
}

impl<'a> HeadKeys<'a> {
    fn into_head(self, tag: &Tag) -> Result<Head<'a>, HandlerError> {
        let key = tag.key();
        if self.repeated {
            return Err(invalid_message(format!("`{key}` or `id` is given twice").into()));
        }
        let Some(message_type) = self.message_type else {
            return Err(invalid_message(format!("the message has no `{key}`").into()));
        };
        let Some(message_type) = as_text(message_type.get()) else {
            return Err(invalid_message(format!("`{key}` is not a string").into()));
        };
        let id = match self.id.map(RawValue::get) {
            None | Some("null") => None,
            Some(json) => Some(MessageId::from_json(json).ok_or_else(|| {
                invalid_message(
                    "`id` is neither an integer nor a string of at most 64 bytes".into(),
                )
            })?),
        };
        Ok(Head { message_type, id })
    }
}

pub(super) fn as_text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

struct HeadVisitor<'t> {
    tag: &'t Tag,
}

impl<'de> Visitor<'de> for HeadVisitor<'_> {
    type Value = HeadKeys<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeadKeys<'de>, A::Error> {
        let mut keys = HeadKeys::default();
        while let Some(Key(key)) = map.next_key()? {
            if key == self.tag.key() {
                keys.repeated |= keys.message_type.replace(map.next_value()?).is_some();
            } else if key == ID {
                keys.repeated |= keys.id.replace(map.next_value()?).is_some();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(keys)
    }
}

/// A key, borrowed unless it contains escapes.
#[derive(serde::Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_type_is_found_without_parsing() {
        let tag = Tag::default();
        assert_eq!(leading_type(&tag, r#"{"type":"chat","text":1}"#), Some("chat"));
        assert_eq!(leading_type(&tag, " {\n \"type\" : \"chat\" "), Some("chat"));
        assert_eq!(leading_type(&Tag::new("action"), r#"{"action":"say"}"#), Some("say"));
        for other in [
            r#"{"id":1,"type":"chat"}"#,
            r#"{"type":"ch\u0061t"}"#,
            r#"{"type":"chat"#,
            r#"{"type":7}"#,
            r#"{"types":"chat"}"#,
            "{\"type\":\"a\nb\"}",
            "",
        ] {
            assert_eq!(leading_type(&tag, other), None, "{other}");
        }
    }

    #[test]
    fn a_head_is_parsed_wherever_its_keys_are() {
        let text = r#"{"a":[1],"id":"x","type":"ch\u0061t"}"#;
        let head = read_head(&Tag::default(), text).unwrap();
        assert_eq!(head, Head { message_type: "chat".into(), id: Some("x".into()) });
        let null = read_head(&Tag::default(), r#"{"type":"a","id":null}"#).unwrap();
        assert_eq!(null.id, None);
    }

    #[test]
    fn a_text_that_is_not_a_message_is_refused_with_the_reason() {
        let read = |text| {
            let error = read_head(&Tag::default(), text).unwrap_err();
            (error.code().to_owned(), error.message().to_owned())
        };
        let json = ("invalid_json".to_owned(), "the message is not valid JSON".to_owned());
        for text in ["", "{", "nope", "[1", r#"{"type":"a"} x"#, r#"{"type":"a","type":"#] {
            assert_eq!(read(text), json, "{text}");
        }
        for (text, why) in [
            ("[1]", "a message is a JSON object"),
            ("7", "a message is a JSON object"),
            ("{}", "the message has no `type`"),
            (r#"{"type":7}"#, "`type` is not a string"),
            (r#"{"type":"a","type":"a"}"#, "`type` or `id` is given twice"),
            (r#"{"id":1,"type":"a","id":1}"#, "`type` or `id` is given twice"),
            (
                r#"{"type":"a","id":1.5}"#,
                "`id` is neither an integer nor a string of at most 64 bytes",
            ),
        ] {
            assert_eq!(read(text), ("invalid_message".to_owned(), why.to_owned()), "{text}");
        }
    }
}
