//! Decodes the payload of a message.

use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use super::filter::{Found, Payload};
use super::{Tag, check_keys, explain, read_head};
use crate::error::{HandlerError, code};
use crate::id::MessageId;

/// Decodes the payload of a message straight into a `T`, and finds the request id on the way.
///
/// # Errors
///
/// Returns `invalid_json`, `invalid_message`, or `invalid_payload` with the field that failed.
pub(crate) fn decode<T: DeserializeOwned>(
    tag: &Tag,
    text: &str,
) -> Result<(T, Option<MessageId>), HandlerError> {
    check_keys(text)?;
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let decoded = T::deserialize(Payload { json: &mut json, tag, found: &mut found })
        .and_then(|value| json.end().map(|()| value));
    match decoded {
        Ok(value) => Ok((value, found.id)),
        Err(_) => Err(reason::<T>(tag, text)),
    }
}

/// Finds the reason why a text failed.
#[cold]
fn reason<T: DeserializeOwned>(tag: &Tag, text: &str) -> HandlerError {
    if let Err(error) = read_head(tag, text) {
        return error;
    }
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let json = Payload { json: &mut json, tag, found: &mut found };
    decode_again::<T, _>(json, || read_payload(tag, text))
}

/// Parses the payload. Returns `None` if a number in it is too large.
fn read_payload(tag: &Tag, text: &str) -> Option<Value> {
    let mut payload = serde_json::from_str(text).ok()?;
    if let Value::Object(fields) = &mut payload {
        tag.head_keys().iter().for_each(|key| drop(fields.remove(*key)));
    }
    Some(payload)
}

/// Decodes a payload that failed once more, this time to find the field.
///
/// The payload is only parsed when the values that were decoded before the error are dropped.
fn decode_again<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    json: D,
    payload: impl FnOnce() -> Option<Value>,
) -> HandlerError {
    let text = "the message does not have the expected fields";
    let failed = serde_path_to_error::deserialize::<_, T>(json).err();
    let fields = failed.map(|error| explain(&error, payload().as_ref()));
    HandlerError::new(code::INVALID_PAYLOAD, text).with_fields(fields.into_iter().collect())
}

/// Decodes a whole message, including the keys of its head.
///
/// # Errors
///
/// Returns the same errors as [`decode`].
pub(crate) fn decode_whole(text: &str) -> Result<Value, HandlerError> {
    check_keys(text)?;
    serde_json::from_str(text).map_err(|_| {
        decode_again::<Value, _>(&mut serde_json::Deserializer::from_str(text), || None)
    })
}
