//! Decodes the payload of a message.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure;
use super::fault_path::remaining_path;
use super::filter::{Found, Payload};
use super::{Tag, check_keys, read_head};
use crate::error::HandlerError;
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
        Err(_) => Err(explain::<T>(tag, text)),
    }
}

/// Decodes a text that failed once more, this time to find the reason.
#[cold]
fn explain<T: DeserializeOwned>(tag: &Tag, text: &str) -> HandlerError {
    if let Err(error) = read_head(tag, text) {
        return error;
    }
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let payload = Payload { json: &mut json, tag, found: &mut found };
    match serde_path_to_error::deserialize::<_, T>(payload) {
        Ok(_) => failure::unexplained(),
        Err(error) => {
            let (path, fault) = (error.path(), error.inner().to_string());
            failure::invalid_payload(path, &fault, &remaining_path(tag, text, path, &fault))
        }
    }
}

/// Decodes a whole message, including the keys of its head.
///
/// # Errors
///
/// Returns the same errors as [`decode`].
pub(crate) fn decode_whole(text: &str) -> Result<Value, HandlerError> {
    check_keys(text)?;
    serde_json::from_str(text).map_err(|_| {
        let mut json = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, Value>(&mut json) {
            Ok(_) => failure::unexplained(),
            Err(error) => failure::invalid_payload(error.path(), &error.inner().to_string(), ""),
        }
    })
}
