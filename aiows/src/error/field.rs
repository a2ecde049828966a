use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

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
