use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{FieldError, HandlerError};

/// The fields of an error on the wire, without the head.
#[derive(Serialize)]
pub(crate) struct ErrorFrame<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_type: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [FieldError],
    #[serde(skip_serializing_if = "Map::is_empty")]
    params: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_id: Option<&'a str>,
}

impl<'a> ErrorFrame<'a> {
    /// The message type of every error.
    pub(crate) const TYPE: &'static str = "error";

    pub(crate) fn new(error: &'a HandlerError, message_type: Option<&'a str>) -> Self {
        Self {
            code: error.code(),
            message: error.message(),
            message_type,
            fields: error.fields(),
            params: error.params(),
            retry_after_ms: error.retry_delay().map(whole_millis),
            error_id: error.error_id(),
        }
    }
}

fn whole_millis(delay: Duration) -> u64 {
    // A peer that waits a little too long is right, one that comes too early is refused again.
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
