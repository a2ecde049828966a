//! The field of an error for which serde reports no complete path.
//!
//! Behind `flatten` and in internally tagged enums, serde deserializes from a buffered copy that
//! has no path. But the error text contains the rejected value: if the message has this value only
//! once, its path is known.

use std::fmt::Write as _;

use serde::de::{Error as _, Unexpected};
use serde_json::{Error, Value};
use serde_path_to_error::{Path, Segment};

use super::Tag;

/// Finds the rest of a path that ends too early, in the form in which it is appended to the path.
/// Returns an empty text if the rest is not known.
pub(super) fn remaining_path(tag: &Tag, text: &str, path: &Path, error_text: &str) -> String {
    let Ok(mut message) = serde_json::from_str::<Value>(text) else { return String::new() };
    if let Value::Object(fields) = &mut message {
        tag.head_keys().iter().for_each(|key| drop(fields.remove(*key)));
    }
    let Some(start) = path.iter().try_fold(&message, step) else { return String::new() };
    let mut search = Search { error_text, path: String::new(), found: None, is_ambiguous: false };
    match path.iter().len() {
        // The error cannot be about the message itself, which is an object.
        0 => search.look_into(start),
        _ => search.look(start),
    }
    search.found.filter(|_| !search.is_ambiguous).unwrap_or_default()
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { variant } => value.get(variant),
        Segment::Unknown => None,
    }
}

/// Looks for the value that an error text shows.
struct Search<'a> {
    /// The text of the error.
    error_text: &'a str,
    /// The path to the current value, behind the path that serde reports.
    path: String,
    /// The path of a value that the error shows.
    found: Option<String>,
    /// Set if the error shows more than one value, so that none of the paths is certain.
    is_ambiguous: bool,
}

impl Search<'_> {
    fn look(&mut self, value: &Value) {
        if is_shown(value, self.error_text) {
            self.is_ambiguous |= self.found.replace(self.path.clone()).is_some();
        }
        self.look_into(value);
    }

    fn look_into(&mut self, value: &Value) {
        let length = self.path.len();
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    // Writing to a string cannot fail.
                    let _ = write!(self.path, "[{index}]");
                    self.look(item);
                    self.path.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.path.extend([".", key]);
                    self.look(field);
                    self.path.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Returns whether an error text is about this value.
fn is_shown(value: &Value, error_text: &str) -> bool {
    let about = |text: &Error| error_text.starts_with(&text.to_string());
    if let Value::String(text) = value
        && about(&Error::custom(format_args!("unknown variant `{text}`, ")))
    {
        return true;
    }
    let Some(shown) = unexpected(value) else { return false };
    about(&Error::invalid_type(shown, &"")) || about(&Error::invalid_value(shown, &""))
}

fn unexpected(value: &Value) -> Option<Unexpected<'_>> {
    Some(match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => {
            let unsigned = number.as_u64().map(Unexpected::Unsigned);
            let signed = || number.as_i64().map(Unexpected::Signed);
            unsigned.or_else(signed).or_else(|| number.as_f64().map(Unexpected::Float))?
        }
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    })
}
