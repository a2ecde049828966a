//! Converts the error texts of serde about a payload. This is the only module that parses them.

use std::fmt::Write as _;

use serde_path_to_error::{Path, Segment};

use crate::error::{FieldError, HandlerError, code, field_code};

pub(super) fn invalid_payload(path: &Path, error_text: &str, remaining_path: &str) -> HandlerError {
    unexplained().with_fields(vec![field_error_with(path, error_text, remaining_path)])
}

/// Makes the error of the field that serde rejected.
pub(crate) fn field_error(path: &Path, error_text: &str) -> FieldError {
    field_error_with(path, error_text, "")
}

/// Makes the error of a field like [`field_error`]. `remaining_path` is the rest of a path that
/// ends too early.
fn field_error_with(path: &Path, error_text: &str, remaining_path: &str) -> FieldError {
    let (fault, name) = Fault::read(error_text);
    let ends_with = |name: &str| match path.iter().next_back() {
        Some(Segment::Map { key }) => key == name,
        _ => false,
    };
    let mut text = join(path);
    text.push_str(if text.is_empty() {
        remaining_path.trim_start_matches('.')
    } else {
        remaining_path
    });
    if let Some(name) = name {
        // The path includes the key of an unknown field, unless serde has buffered the fields. It
        // never includes the key of a missing or repeated field.
        if fault != Fault::Unknown || !ends_with(name) {
            let dot = if text.is_empty() { "" } else { "." };
            text = format!("{text}{dot}{name}");
        }
    }
    FieldError::new(text, fault.code(), fault.message()).cut()
}

/// The error of a payload that could not be decoded at first, but could when it was decoded again.
pub(super) fn unexplained() -> HandlerError {
    HandlerError::new(code::INVALID_PAYLOAD, "the message does not have the expected fields")
}

/// The kinds of errors that serde reports.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Duplicate,
    InvalidValue,
    Missing,
    TooMany,
    Unknown,
    WrongType,
}

impl Fault {
    /// Parses one of serde's texts. The second value is the field that the text names.
    fn read(text: &str) -> (Self, Option<&str>) {
        let named = [
            ("missing field `", Self::Missing),
            ("unknown field `", Self::Unknown),
            ("duplicate field `", Self::Duplicate),
        ];
        for (prefix, fault) in named {
            if let Some(rest) = text.strip_prefix(prefix) {
                return (fault, field_name(rest));
            }
        }
        let unnamed =
            [("invalid type: ", Self::WrongType), ("too many items, at most ", Self::TooMany)];
        for (prefix, fault) in unnamed {
            if text.starts_with(prefix) {
                return (fault, None);
            }
        }
        (Self::InvalidValue, None)
    }

    fn code(self) -> &'static str {
        match self {
            Self::Duplicate => field_code::DUPLICATE,
            Self::InvalidValue => field_code::INVALID_VALUE,
            Self::Missing => field_code::MISSING,
            Self::TooMany => field_code::TOO_MANY,
            Self::Unknown => field_code::UNKNOWN,
            Self::WrongType => field_code::WRONG_TYPE,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Duplicate => "is given twice",
            Self::InvalidValue => "does not have an accepted value",
            Self::Missing => "is required",
            Self::TooMany => "has too many items",
            Self::Unknown => "is not a field of this message",
            Self::WrongType => "has the wrong type",
        }
    }
}

/// Returns the name before the closing backtick. A name that a client chose may contain backticks
/// itself.
fn field_name(rest: &str) -> Option<&str> {
    let end = ["`, expected ", "`, there are no fields", "` at line "]
        .iter()
        .find_map(|end| rest.rfind(end))
        .or_else(|| rest.rfind('`'))?;
    Some(&rest[..end])
}

fn join(path: &Path) -> String {
    let mut joined = String::new();
    for segment in path {
        let dot = if joined.is_empty() { "" } else { "." };
        // Writing to a string cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(joined, "[{index}]"),
            Segment::Map { key } => write!(joined, "{dot}{key}"),
            Segment::Enum { variant } => write!(joined, "{dot}{variant}"),
            Segment::Unknown => Ok(()),
        };
    }
    joined
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
