use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::cut;

/// Fields that one error lists; the others are counted.
pub(crate) const MAX_FIELDS: usize = 32;

/// The longest path of a field, in bytes: it may hold keys that the client chose, and be as deep as it
/// nests its message.
const MAX_PATH: usize = 128;

/// What is wrong with one field of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldError {
    /// Where the field stands, under its names on the wire: `tags[1].name`.
    pub path: String,
    /// What is wrong, for programs: `missing`, `wrong_type`, a validator's code.
    pub code: Cow<'static, str>,
    /// What is wrong, for people.
    pub message: Cow<'static, str>,
    /// The validator's parameters, never the rejected value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
}

impl FieldError {
    /// Names a field, what is wrong with it for programs, and what is for people.
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
    /// Cuts a path that is too long.
    pub(crate) fn cut(mut self) -> Self {
        self.path.truncate(cut(&self.path, MAX_PATH).len());
        self
    }
}
