//! Errors as they are written on the wire, within a fixed size.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::display;

use crate::error::{FieldError, HandlerError, cut};
use crate::id::ConnectionId;

/// The largest error on the wire, in bytes.
const MAX_FRAME: usize = 4 * 1024;
/// The part of it that is reserved for the head: a `correlation_id` of 64 bytes, with six bytes for
/// each if it is escaped.
const HEAD: usize = 512;

/// If the code and the message together have at most this many bytes, an error without fields and
/// parameters fits in any case, even if every byte is escaped.
const SHORT: usize = 384;

/// The bytes to which the code and the message of a too large error are cut.
const MAX_CODE: usize = 64;
const MAX_MESSAGE: usize = SHORT - MAX_CODE;

/// The largest integer that every JSON parser reads exactly (RFC 7493 section 2.2).
const MAX_EXACT: u64 = (1 << 53) - 1;

/// The fields of an error on the wire, without the head.
///
/// Together with the head they have at most 4 KiB.
#[derive(Serialize)]
pub(crate) struct ErrorFrame<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_type: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [FieldError],
    #[serde(skip_serializing_if = "is_zero")]
    more_fields: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_id: Option<&'a str>,
}

impl<'a> ErrorFrame<'a> {
    /// The message type of every error.
    pub(crate) const TYPE: &'static str = "error";

    /// Makes the fields of an error. `connection` is only for the log; an HTTP request has none.
    pub(crate) fn new(
        error: &'a HandlerError,
        message_type: Option<&'a str>,
        connection: Option<ConnectionId>,
    ) -> Self {
        let frame = Self {
            code: error.code(),
            message: error.message(),
            message_type,
            fields: error.fields(),
            more_fields: error.more_fields(),
            params: Some(error.params()).filter(|params| !params.is_empty()),
            retry_after_ms: error.retry_delay().map(whole_millis),
            error_id: error.error_id(),
        };
        match frame.is_small() {
            true => frame,
            false => frame.shrunk(connection),
        }
    }

    fn is_small(&self) -> bool {
        let is_plain = self.fields.is_empty() && self.params.is_none();
        let is_short = self.code.len() + self.message.len() <= SHORT;
        (is_plain && is_short) || size_within(self, MAX_FRAME - HEAD).is_some()
    }

    /// Returns the error without parameters and, if that is not enough, with shorter texts and
    /// fewer fields.
    fn shrunk(self, connection: Option<ConnectionId>) -> Self {
        let Self { code, message, fields, more_fields, .. } = self;
        let without_fields = Self { fields: &[], more_fields: usize::MAX, params: None, ..self };
        let mut shrunk = match size_within(&without_fields, MAX_FRAME - HEAD) {
            Some(_) => without_fields,
            None => Self {
                code: cut(code, MAX_CODE),
                message: cut(message, MAX_MESSAGE),
                ..without_fields
            },
        };
        if self.params.is_some() || shrunk.message.len() < message.len() {
            let connection = connection.map(display);
            tracing::warn!(
                connection,
                code = shrunk.code,
                "an error was too large to be sent as it is"
            );
        }
        let fitting = shrunk.fitting(fields);
        shrunk.fields = &fields[..fitting];
        shrunk.more_fields = more_fields + fields.len() - fitting;
        shrunk
    }

    /// Returns how many of these fields fit into the frame next to the other keys.
    fn fitting(&self, fields: &[FieldError]) -> usize {
        let around = r#","fields":[]"#.len();
        let rest = size_within(self, MAX_FRAME).unwrap_or(MAX_FRAME);
        let mut room = (MAX_FRAME - HEAD).saturating_sub(rest + around);
        let fits = |field: &&FieldError| {
            let size = size_within(field, room).and_then(|size| room.checked_sub(size + 1));
            room = size.unwrap_or(0);
            size.is_some()
        };
        fields.iter().take_while(fits).count()
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn whole_millis(delay: Duration) -> u64 {
    // Rounded up, because a client that comes back too early is refused again.
    let millis = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    millis.min(MAX_EXACT)
}

/// Returns the size of a value as JSON, or `None` if it is larger than `max`. Stops at the bound.
fn size_within(value: &impl Serialize, max: usize) -> Option<usize> {
    let mut size = SizeCounter { left: max };
    serde_json::to_writer(&mut size, value).ok().map(|()| max - size.left)
}

/// Counts the bytes written to it, up to a bound.
struct SizeCounter {
    left: usize,
}

impl Write for SizeCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len());
        self.left = left.ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
