//! Message types that belong to the protocol.

use serde::ser::Error as _;
use serde_json::Error;

use super::{Tag, read_head};
use crate::error::ConstText;

const RESERVED: [&str; 7] =
    ["ack", "auth", "auth_success", "error", "room.joined", "room.left", "room.members"];

pub(crate) const fn is_reserved(message_type: &str) -> bool {
    let mut at = 0;
    while at < RESERVED.len() {
        if is_same(RESERVED[at].as_bytes(), message_type.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(first: &[u8], second: &[u8]) -> bool {
    let mut at = 0;
    while at < first.len() && at < second.len() && first[at] == second[at] {
        at += 1;
    }
    at == first.len() && at == second.len()
}

/// Returns an error if a JSON text of the application is a message of a reserved type.
pub(crate) fn check_reserved(tag: &Tag, text: &[u8]) -> Result<(), Error> {
    let text = str::from_utf8(text).unwrap_or_default();
    if !text.starts_with('{') || !may_be_reserved(tag, text) {
        return Ok(());
    }
    // A text that is not a message, or has its type twice, is left to the application.
    match read_head(tag, text) {
        Ok(head) => check_type(&head.message_type),
        Err(_) => Ok(()),
    }
}

/// Returns whether a reserved type follows the key of the tag, anywhere in the text.
fn may_be_reserved(tag: &Tag, text: &str) -> bool {
    let key = tag.key();
    text.match_indices(key).any(|(at, _)| {
        let value = text[at + key.len()..].strip_prefix('"').map(str::trim_ascii_start);
        let value = value.and_then(|rest| rest.strip_prefix(':')).map(str::trim_ascii_start);
        let value = value.and_then(|rest| rest.strip_prefix('"')).unwrap_or_default();
        let name = value.split('"').next().unwrap_or_default();
        // An escape may stand for any letter.
        is_reserved(name) || name.contains('\\')
    }) || key.contains(|letter: char| matches!(letter, '"' | '\\' | '\0'..' '))
}

/// Returns an error if the message type is reserved.
pub(crate) fn check_type(message_type: &str) -> Result<(), Error> {
    match is_reserved(message_type) {
        false => Ok(()),
        true => Err(Error::custom(format_args!(
            "message type `{message_type}` is reserved for the protocol, choose another"
        ))),
    }
}

/// Stops the compilation if a message type cannot be sent. The derive checks the same.
///
/// ```compile_fail,E0080
/// #[derive(serde::Serialize)]
/// struct Notice;
///
/// impl aiows::Message for Notice {
///     const TYPE: &'static str = "error";
/// }
///
/// let _ = aiows::messages::Outgoing::message_type(&Notice);
/// ```
#[track_caller]
pub(crate) const fn assert_type(message_type: &str) {
    if is_reserved(message_type) {
        ConstText::new()
            .with("message type `")
            .with(message_type)
            .with("` is reserved for the protocol, choose another")
            .stop_compilation();
    }
    let mut at = 0;
    while at < message_type.len() {
        let byte = message_type.as_bytes()[at];
        assert!(!byte.is_ascii_whitespace(), "message type must not contain whitespace");
        assert!(!byte.is_ascii_control(), "message type must not contain control characters");
        at += 1;
    }
    assert!(at > 0, "message type must not be empty");
}
