//! A wrong field: the type [`FieldError`], and the rule for its path.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::{Mistake, cut};

/// The number of fields that one error lists. The others are counted.
pub(crate) const MAX_FIELDS: usize = 32;

/// The longest path of a field, in bytes. A path may contain keys that the client chose, and is as
/// deep as the client nests its message.
const MAX_PATH: usize = 128;

/// One field of a message that failed to decode or to validate, with the reason.
///
/// The client receives it in the `fields` of an error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldError {
    /// The path of the field, with its names on the wire: `tags[1].name`.
    pub path: String,
    /// The reason for programs: `missing`, `wrong_type`, or the code of a validator.
    pub code: Cow<'static, str>,
    /// The reason for people.
    pub message: Cow<'static, str>,
    /// The parameters of the validator. They never contain the rejected value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
}

impl FieldError {
    /// Makes the error of a field, with a code for programs and a message for people.
    pub fn new(
        path: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            path: path.into(),
            code: code.into(),
            message: message.into(),
            params: BTreeMap::new(),
        }
    }
}

impl FieldError {
    /// Cuts the path if it is too long.
    pub(crate) fn cut(self) -> Self {
        Self { path: FieldPath(self.path).into_text(), ..self }
    }
}

/// The path of a field in an error: `a.b[3].c`.
#[derive(Clone, Default)]
pub(crate) struct FieldPath(pub(crate) String);

impl FieldPath {
    /// Steps into a field, or into the value of a key.
    pub(crate) fn push_name(&mut self, name: &str) {
        let dot = if self.0.is_empty() { "" } else { "." };
        self.0.extend([dot, name]);
    }

    /// Steps into an item of a list.
    pub(crate) fn push_index(&mut self, index: usize) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "[{index}]");
    }

    /// Returns the path, cut if it is too long.
    pub(crate) fn into_text(mut self) -> String {
        self.0.truncate(cut(&self.0, MAX_PATH).len());
        self.0
    }

    /// Makes the error of the field at this path.
    pub(crate) fn into_error(self, mistake: Mistake) -> FieldError {
        FieldError::new(self.into_text(), mistake.code, mistake.text)
    }
}
