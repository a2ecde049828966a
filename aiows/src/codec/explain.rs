//! Explains the errors of serde: which field is wrong, and why. This is the only module that parses
//! their texts.

use std::fmt::Display;

use serde::de::{Error as _, Unexpected};
use serde_json::{Error, Value};
use serde_path_to_error::{Path, Segment};

use crate::error::{FieldError, FieldPath, Mistake, mistake};

/// How the texts of serde begin. The name of a field follows a backtick.
const TEXTS: [(&str, Mistake); 5] = [
    ("missing field `", mistake::MISSING),
    ("unknown field `", mistake::UNKNOWN),
    ("duplicate field `", mistake::DUPLICATE),
    ("invalid type: ", mistake::WRONG_TYPE),
    ("too many items, at most ", mistake::TOO_MANY),
];

/// Makes the error of the field that serde rejected.
///
/// Behind `flatten` and in internally tagged enums, serde deserializes from a buffered copy that
/// has no path. But the error text contains the rejected value: if the payload has this value only
/// once, its path is known.
pub(crate) fn explain<E: Display>(
    error: &serde_path_to_error::Error<E>,
    payload: Option<&Value>,
) -> FieldError {
    let text = error.inner().to_string();
    let (mistake, name) = read(&text);
    let (path, value) = follow(error.path(), payload);
    let last = error.path().iter().next_back();
    let mut search = Search { text: &text, path, found: None, is_ambiguous: false };
    match (value, last) {
        // The error cannot be about the payload itself, which is an object.
        (Some(payload), None) => search.look_into(payload),
        (Some(value), Some(_)) => search.look(value),
        (None, _) => {}
    }
    let mut path = search.found.filter(|_| !search.is_ambiguous).unwrap_or(search.path);
    // The path includes the key of an unknown field, unless serde has buffered the fields. It
    // never includes the key of a missing or repeated field.
    let is_last = |name: &str| matches!(last, Some(Segment::Map { key }) if key == name);
    if let Some(name) = name.filter(|name| mistake != mistake::UNKNOWN || !is_last(name)) {
        path.push_name(name);
    }
    path.into_error(mistake)
}

/// Converts a path of serde, and follows it to its value in the payload.
fn follow<'a>(path: &Path, payload: Option<&'a Value>) -> (FieldPath, Option<&'a Value>) {
    let start = (FieldPath::default(), payload);
    path.iter().fold(start, |(mut path, value), segment| match segment {
        Segment::Seq { index } => {
            path.push_index(*index);
            (path, value.and_then(|value| value.get(index)))
        }
        Segment::Map { key: name } | Segment::Enum { variant: name } => {
            path.push_name(name);
            (path, value.and_then(|value| value.get(name)))
        }
        Segment::Unknown => (path, None),
    })
}

/// Parses one of serde's texts. The second value is the field that the text names.
fn read(text: &str) -> (Mistake, Option<&str>) {
    let begins = |(start, mistake): &(&str, Mistake)| {
        let rest = text.strip_prefix(start)?;
        // A name that a client chose may contain backticks itself.
        let end = rest.rfind("`, expected ").or_else(|| rest.rfind('`'));
        Some((*mistake, end.filter(|_| start.ends_with('`')).map(|end| &rest[..end])))
    };
    TEXTS.iter().find_map(begins).unwrap_or((mistake::INVALID_VALUE, None))
}

/// Looks for the value that an error text shows.
struct Search<'a> {
    /// The text of the error.
    text: &'a str,
    /// The path to the current value.
    path: FieldPath,
    /// The path of a value that the error shows.
    found: Option<FieldPath>,
    /// Set if the error shows more than one value, so that none of the paths is certain.
    is_ambiguous: bool,
}

impl Search<'_> {
    fn look(&mut self, value: &Value) {
        if is_shown(value, self.text) {
            self.is_ambiguous |= self.found.replace(self.path.clone()).is_some();
        }
        self.look_into(value);
    }

    fn look_into(&mut self, value: &Value) {
        let length = self.path.0.len();
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.push_index(index);
                    self.look(item);
                    self.path.0.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.path.push_name(key);
                    self.look(field);
                    self.path.0.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Returns whether an error text is about this value.
fn is_shown(value: &Value, error_text: &str) -> bool {
    let shown = match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    };
    let variant =
        value.as_str().map(|text| Error::custom(format_args!("unknown variant `{text}`, ")));
    [Error::invalid_type(shown, &""), Error::invalid_value(shown, &"")]
        .iter()
        .chain(&variant)
        .any(|text| error_text.starts_with(&text.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use crate::codec::{Tag, decode};
    use crate::message::BoundedVec;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "only decoded")]
    struct Order {
        user_id: u8,
        #[serde(default)]
        tags: Vec<Tagged>,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        codes: Option<[u8; 2]>,
        #[serde(default)]
        price: f32,
        #[serde(default)]
        few: BoundedVec<u8, 1>,
        #[serde(default)]
        named: HashMap<String, Tagged>,
        #[serde(default)]
        form: Option<Form>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "t", deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoded")]
    enum Form {
        Box { size: u8 },
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoded")]
    struct Tagged {
        name: String,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        #[default]
        Plain,
        Big,
    }

    fn refused<T: DeserializeOwned>(fields: &str) -> (String, String, String) {
        let text = format!(r#"{{"type":"order",{fields}}}"#);
        let Err(error) = decode::<T>(&Tag::default(), &text) else { panic!("{text} is accepted") };
        let [field] = error.fields() else { panic!("{text}: {error} {:?}", error.fields()) };
        (error.code().to_owned(), field.path.clone(), field.code.clone().into_owned())
    }

    // The table from serde's texts to the field codes. It fails if a release of serde words its
    // texts differently.
    #[test]
    fn each_error_of_serde_has_its_path_and_code() {
        for (fields, path, code) in [
            (r#""tags":[]"#, "userId", "missing"),
            (r#""userId":1,"tags":[{"name":"a"},{}]"#, "tags[1].name", "missing"),
            (r#""userId":1,"extra":2"#, "extra", "unknown"),
            (r#""userId":1,"a`, expected b":2"#, "a`, expected b", "unknown"),
            (r#""userId":1,"tags":[{"name":"a","x":1}]"#, "tags[0].x", "unknown"),
            (r#""userId":1,"userId":2"#, "userId", "duplicate"),
            (r#""userId":1,"tags":[{"name":"a","name":"b"}]"#, "tags[0].name", "duplicate"),
            (r#""userId":1,"named":{"a":{"name":"a","a":1}}"#, "named.a.a", "unknown"),
            (r#""userId":1,"named":{"a":{"name":"a","b.c":1}}"#, "named.a.b.c", "unknown"),
            (
                r#""userId":1,"named":{"name":{"name":"a","name":"b"}}"#,
                "named.name.name",
                "duplicate",
            ),
            (r#""userId":1,"named":{"name":{}}"#, "named.name.name", "missing"),
            (r#""userId":1,"form":{"t":"Box","size":1,"size":2}"#, "form.size", "duplicate"),
            (r#""userId":1,"form":{"t":"Box","size":1,"x":2}"#, "form.x", "unknown"),
            (r#""userId":"secret""#, "userId", "wrong_type"),
            (r#""userId":1.5"#, "userId", "wrong_type"),
            (r#""userId":null"#, "userId", "wrong_type"),
            (r#""userId":{"a":1}"#, "userId", "wrong_type"),
            (r#""userId":1,"tags":7"#, "tags", "wrong_type"),
            (r#""userId":1,"tags":[{"name":true}]"#, "tags[0].name", "wrong_type"),
            (r#""userId":256"#, "userId", "invalid_value"),
            (r#""userId":-1"#, "userId", "invalid_value"),
            (r#""userId":1,"kind":"secret""#, "kind", "invalid_value"),
            (r#""userId":1,"codes":[1]"#, "codes", "invalid_value"),
            (r#""userId":1,"price":1e999"#, "price", "invalid_value"),
            (r#""userId":1,"few":[1,2]"#, "few", "too_many"),
            (r#""userId":1,"few":7"#, "few", "wrong_type"),
        ] {
            let expected = ("invalid_payload".to_owned(), path.to_owned(), code.to_owned());
            assert_eq!(refused::<Order>(fields), expected, "{fields}");
        }
    }

    #[test]
    fn a_key_of_a_map_is_part_of_the_path_and_is_cut() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only decoded")]
        struct Scores {
            by_name: HashMap<String, u8>,
        }
        let path = |key: &str| refused::<Scores>(&format!(r#""by_name":{{"{key}":"x"}}"#)).1;
        assert_eq!(path("ann"), "by_name.ann");
        assert_eq!(path(&"é".repeat(1000)), format!("by_name.{}", "é".repeat(60)));
    }

    #[test]
    fn head_keys_are_not_unknown_fields() {
        let text = r#"{"correlation_id":"s1","type":"order","id":7,"userId":3}"#;
        let (order, id) = decode::<Order>(&Tag::default(), text).unwrap();
        assert_eq!((order.user_id, id), (3, Some(7.into())));
    }

    #[test]
    fn an_error_in_the_head_is_reported_before_one_in_the_payload() {
        for (text, code) in [
            (r#"{"type":"order","userId":"x","type":"order"}"#, "invalid_message"),
            (r#"{"type":"order","userId":"x","id":true}"#, "invalid_message"),
            (r#"{"type":"order","userId":"x""#, "invalid_json"),
            (r#"{"type":"order","userId":1} trailing"#, "invalid_json"),
        ] {
            let error = decode::<Order>(&Tag::default(), text).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
        }
    }
}
