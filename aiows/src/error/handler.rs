//! The type [`HandlerError`].

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::codes::{closing, code, http_refusal};
use super::text::{causes, print_cut};
use super::{Error, FieldError, MAX_FIELDS};
use crate::close::CloseCode;
use crate::id;

pub(super) type Source = Box<dyn StdError + Send + Sync + 'static>;

/// The error of a handler, which the client receives in place of an answer.
///
/// There are two kinds. You make a *visible* error with [`new`](Self::new): the client receives its
/// code, message and parameters. Any other error becomes an *internal* one if you return it with
/// `?`: the client receives the code `internal` and an `error_id`, and the log has the cause under
/// this id.
///
/// The exceptions are a [`RequestError`](super::RequestError) and a [`SendError`](super::SendError)
/// that were caused by a client or by the end of its connection, even if they are the cause of
/// another error. They are visible, each with a code of its own.
///
/// The type does not implement [`std::error::Error`], so that `?` can convert every error that
/// does.
///
/// ```
/// use aiows::{HandlerError, Result};
///
/// fn seats(text: &str) -> Result<u32> {
///     let seats: u32 = text.parse()?;
///     if seats > 50 {
///         return Err(HandlerError::new("room_full", "the room is full").with("capacity", 50));
///     }
///     Ok(seats)
/// }
///
/// assert_eq!(seats("x").unwrap_err().code(), "internal");
/// assert_eq!(seats("51").unwrap_err().code(), "room_full");
/// ```
pub struct HandlerError {
    inner: Box<Inner>,
}

struct Inner {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    params: Map<String, Value>,
    fields: Vec<FieldError>,
    /// How many fields failed in addition to `fields`.
    more_fields: usize,
    retry_after: Option<Duration>,
    /// Set by `close`: the connection is closed with this code after the answer.
    close: Option<CloseCode>,
    /// Set by `status`: the HTTP status of a refused request.
    status: Option<u16>,
    /// Set for internal errors only.
    error_id: Option<String>,
    /// If set, the client does not learn about the source.
    hides_source: bool,
    /// The error that this was made from.
    source: Option<Source>,
}

impl HandlerError {
    /// Makes a visible error with an explanation of `source` for the client.
    pub(super) fn caused(code: &'static str, message: &'static str, source: Source) -> Self {
        let mut error = Self::new(code, message);
        error.inner.source = Some(source);
        error
    }

    /// Makes an error that is visible to the client.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                code: code.into(),
                message: message.into(),
                params: Map::new(),
                fields: Vec::new(),
                more_fields: 0,
                retry_after: None,
                close: None,
                status: None,
                error_id: None,
                hides_source: false,
                source: None,
            }),
        }
    }

    /// Makes the error `validation_failed` for a message with invalid fields.
    ///
    /// The first 32 fields are listed and the others are counted, see
    /// [`more_fields`](Self::more_fields). Each path is cut at 128 bytes.
    pub fn invalid(fields: impl IntoIterator<Item = FieldError>) -> Self {
        let mut fields = fields.into_iter();
        let first = fields.by_ref().take(MAX_FIELDS).map(FieldError::cut).collect();
        Self::new(code::VALIDATION_FAILED, "the message is not valid")
            .with_fields(first)
            .with_more_fields(fields.count())
    }

    /// Makes an internal error. Only the log shows its cause.
    pub(crate) fn internal(source: Source) -> Self {
        let mut error = Self::new(code::INTERNAL, "internal error");
        error.inner.error_id = Some(id::error_id());
        error.inner.hides_source = true;
        error.inner.source = Some(source);
        error
    }

    /// Makes the error of a connection that middleware did not let pass. Its client receives only
    /// the close frame.
    pub(crate) fn refused() -> Self {
        let mut error = Self::new(code::FORBIDDEN, closing::NOT_ADMITTED.reason);
        error.inner.hides_source = true;
        error.inner.source = Some("middleware did not call the connect handlers".into());
        error.close(closing::NOT_ADMITTED.code)
    }

    pub(crate) fn with_fields(mut self, fields: Vec<FieldError>) -> Self {
        self.inner.fields = fields;
        self
    }

    /// Sets how many fields failed in addition to those that are listed.
    pub(crate) fn with_more_fields(mut self, more: usize) -> Self {
        self.inner.more_fields = more;
        self
    }

    /// Adds a parameter to the answer, in `params`.
    ///
    /// If the value cannot be serialized as JSON, `null` is sent. If the answer would be larger
    /// than 4 KiB, it is sent without parameters, and the log has a warning.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.inner.params.insert(name.into(), value);
        self
    }

    /// Adds the time after which the client should try again, as `retry_after_ms`.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.inner.retry_after = Some(delay);
        self
    }

    /// Closes the connection with this code after the answer is delivered.
    ///
    /// The close reason is the message of the error. If the code must not be sent (RFC 6455 section
    /// 7.4), it is replaced by 1011.
    #[must_use]
    pub fn close(mut self, code: impl Into<CloseCode>) -> Self {
        self.inner.close = Some(code.into().or_internal());
        self
    }

    /// Sets the HTTP status of a refused request, for [`Middleware::on_handshake`].
    ///
    /// The default is 403. It is 500 for an internal error, and 503 for a send or a request to a
    /// client that failed with `Closed`. A status that is not between 400 and 599 is replaced by
    /// 500. In other places than the handshake the status has no effect.
    ///
    /// [`Middleware::on_handshake`]: crate::middleware::Middleware::on_handshake
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.inner.status = Some(if (400..=599).contains(&status) { status } else { 500 });
        self
    }

    /// Returns the code that the client receives.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.inner.code
    }

    /// Returns the message that the client receives.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Returns the fields that failed to decode or to validate, at most 32.
    #[must_use]
    pub fn fields(&self) -> &[FieldError] {
        &self.inner.fields
    }

    /// Returns how many fields failed in addition to [`fields`](Self::fields).
    ///
    /// If a message has hundreds of nested values, validation stops after more than 32 fields have
    /// failed. The number may then be too low.
    #[must_use]
    pub fn more_fields(&self) -> usize {
        self.inner.more_fields
    }

    /// Returns the parameters added with [`with`](Self::with).
    #[must_use]
    pub fn params(&self) -> &Map<String, Value> {
        &self.inner.params
    }

    /// Returns the id under which the log has the cause. Only internal errors have one.
    #[must_use]
    pub fn error_id(&self) -> Option<&str> {
        self.inner.error_id.as_deref()
    }

    /// Returns the close code set with [`close`](Self::close).
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        self.inner.close
    }

    /// Returns the HTTP status with which a request is refused.
    #[must_use]
    pub fn status_code(&self) -> u16 {
        let default = match self.inner.error_id {
            Some(_) => http_refusal::INTERNAL.status,
            None if self.is_closed() => http_refusal::UNAVAILABLE.status,
            None => http_refusal::FORBIDDEN.status,
        };
        self.inner.status.unwrap_or(default)
    }

    /// Returns the delay set with [`retry_after`](Self::retry_after).
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the error that this was made from if it is an `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.inner.source.as_ref()?.downcast_ref()
    }

    /// Converts this to an error for a `main` that returns another type than
    /// [`Result`](super::Result).
    ///
    /// For an internal error it is the cause, otherwise the text of this error.
    #[must_use]
    pub fn into_boxed(self) -> Box<dyn StdError + Send + Sync + 'static> {
        let text = self.to_string();
        self.inner.source.unwrap_or_else(|| text.into())
    }

    /// Returns whether this error comes from a forced shutdown of a server, see
    /// [`Error::is_forced`].
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.downcast_ref::<Error>().is_some_and(Error::is_forced)
    }

    /// Returns whether the client receives more than a close frame or an `error_id`.
    pub(crate) fn is_visible(&self) -> bool {
        !self.inner.hides_source
    }

    /// Returns whether a send or a request failed because the connection had ended or was about to.
    /// This is not an error of the server.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.code == code::UNAVAILABLE && self.inner.source.is_some()
    }
}

/// Prints the causes of an internal error, and the message and the code of a visible one. The text
/// is cut at 4 KiB, because it may repeat input of a client.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_cut(f, |text| match &self.inner.source {
            Some(source) if self.inner.hides_source => {
                write!(text, "{source}")?;
                causes(&**source).skip(1).try_for_each(|cause| write!(text, ": {cause}"))
            }
            _ => write!(text, "{} ({})", self.inner.message, self.inner.code),
        })
    }
}

// `main` prints its error with `Debug`, so `Debug` has to be readable.
impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_internal() {
        fn parse() -> Result<i32, HandlerError> {
            Ok("x".parse::<i32>()?)
        }
        fn with_text() -> Result<i32, HandlerError> {
            Err("no such room")?
        }
        fn with_anyhow() -> Result<i32, HandlerError> {
            Err(anyhow::anyhow!("deep trouble"))?
        }
        for (error, text) in [
            (parse().unwrap_err(), "invalid digit found in string"),
            (with_text().unwrap_err(), "no such room"),
            (with_anyhow().unwrap_err(), "deep trouble"),
        ] {
            assert_eq!((error.code(), error.message()), ("internal", "internal error"));
            assert_eq!(error.error_id().map(str::len), Some(16));
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_code_that_must_not_be_sent_becomes_1011() {
        let error = HandlerError::new("bad", "bad").close(1005);
        assert_eq!(error.close_code(), Some(CloseCode::INTERNAL));
        assert_eq!(HandlerError::new("a", "b").close(4001).close_code(), Some(4001.into()));
    }
}
