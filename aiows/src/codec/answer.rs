//! Recognizes the answer of a client to a question of the server.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::CORRELATION_ID;
use super::head::{Key, as_text};

/// Returns the number of the question that a message answers.
///
/// An answer is a JSON object with exactly one `correlation_id`, the `id` of a question. Its other
/// keys are not checked here.
pub(crate) fn question_number(text: &str) -> Option<u64> {
    // A key may contain escapes, so this proves the absence of the key only in texts without any.
    if !text.contains(CORRELATION_ID) && !text.contains('\\') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let id = json.deserialize_map(CorrelationVisitor).ok()??;
    json.end().ok()?;
    number(&as_text(id.get())?)
}

/// Parses the id of a question, which must be written exactly as the server writes it.
fn number(id: &str) -> Option<u64> {
    let digits = id.strip_prefix('s')?;
    let canonical = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    canonical.then(|| digits.parse().ok())?
}

struct CorrelationVisitor;

impl<'de> Visitor<'de> for CorrelationVisitor {
    /// `None` if there is no `correlation_id`, or more than one.
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut repeated) = (None, false);
        while let Some(Key(key)) = map.next_key()? {
            if key == CORRELATION_ID {
                repeated |= found.replace(map.next_value()?).is_some();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.filter(|_| !repeated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_recognized_wherever_its_correlation_id_is() {
        for text in [
            r#"{"type":"a","correlation_id":"s12"}"#,
            r#" { "correlation_id" : "s12" , "id":1, "x":{"correlation_id":"s1"} } "#,
            r#"{"correlation\u005fid":"s12"}"#,
            r#"{"correlation_id":"\u00731\u0032","type":"a"}"#,
        ] {
            assert_eq!(question_number(text), Some(12), "{text}");
        }
        assert_eq!(
            question_number(r#"{"correlation_id":"s18446744073709551615"}"#),
            Some(u64::MAX)
        );
    }

    #[test]
    fn no_other_text_is_an_answer() {
        for text in [
            r#"{"type":"a"}"#,
            r#"{"type":"a","text":"correlation_id"}"#,
            r#"{"type":"a","text":"\"correlation_id\":\"s1\""}"#,
            r#"{"type":"a","x":{"correlation_id":"s1"}}"#,
            r#"{"type":"a","x":[{"correlation_id":"s1"}]}"#,
            r#"{"correlation_id":"s1","correlation_id":"s1"}"#,
            r#"{"correlation_id":"s1","correlation\u005fid":"s2"}"#,
            r#"{"correlation_id":null}"#,
            r#"{"correlation_id":1}"#,
            r#"{"correlation_id":["s1"]}"#,
            r#"{"correlation_id":"1"}"#,
            r#"{"correlation_id":"S1"}"#,
            r#"{"correlation_id":"s"}"#,
            r#"{"correlation_id":"s0"}"#,
            r#"{"correlation_id":"s01"}"#,
            r#"{"correlation_id":"s+1"}"#,
            r#"{"correlation_id":"s1 "}"#,
            r#"{"correlation_id":"s18446744073709551616"}"#,
            r#"{"correlation_id":"s1""#,
            r#"{"correlation_id":"s1"} x"#,
            r#"[{"correlation_id":"s1"}]"#,
            r#""correlation_id""#,
            "",
        ] {
            assert_eq!(question_number(text), None, "{text}");
        }
    }
}
