//! The type [`FieldError`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::cut;

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
    pub(crate) fn cut(mut self) -> Self {
        self.path.truncate(cut(&self.path, MAX_PATH).len());
        self
    }
}
