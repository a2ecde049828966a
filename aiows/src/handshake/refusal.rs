//! HTTP answers that refuse an upgrade request.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::error::{HandlerError, HttpRefusal, http_refusal};
use crate::message::ErrorFrame;

/// An HTTP answer that refuses a request.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: String,
    answers: Answers,
    /// Headers that show the client what to change, or when to come back.
    headers: Vec<(&'static str, String)>,
}

/// The kind of request that a refusal answers.
#[derive(Debug)]
enum Answers {
    Any,
    /// The answer has no body (RFC 9110 section 9.3.2).
    Head,
}

impl Refusal {
    fn new(status: StatusCode, error: &HandlerError) -> Self {
        let body = json!({ "error": ErrorFrame::new(error, None, None) }).to_string();
        Self { status, body, answers: Answers::Any, headers: Vec::new() }
    }

    fn fixed(refusal: HttpRefusal, message: &'static str) -> Self {
        Self::from_error(&HandlerError::new(refusal.code, message).status(refusal.status))
    }

    fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Converts an error of the application to an HTTP answer.
    pub(crate) fn from_error(error: &HandlerError) -> Self {
        let status = StatusCode::from_u16(error.status_code());
        let mut refusal = Self::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error);
        if refusal.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 requires a challenge.
            refusal = refusal.with_header("WWW-Authenticate", "Bearer");
        }
        match error.retry_delay() {
            Some(delay) => refusal.with_header("Retry-After", whole_seconds(delay).to_string()),
            None => refusal,
        }
    }

    pub(crate) fn bad_request(message: &'static str) -> Self {
        Self::fixed(http_refusal::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: &'static str) -> Self {
        Self::fixed(http_refusal::FORBIDDEN, message)
    }

    pub(crate) fn not_found() -> Self {
        let message = "nothing is served under this path";
        Self::fixed(http_refusal::NOT_FOUND, message)
    }

    pub(crate) fn method() -> Self {
        let message = "a WebSocket is opened with GET";
        Self::fixed(http_refusal::METHOD_NOT_ALLOWED, message).with_header("Allow", "GET")
    }

    pub(crate) fn upgrade_required() -> Self {
        let message = "this path serves WebSocket connections";
        Self::fixed(http_refusal::UPGRADE_REQUIRED, message).with_header("Upgrade", "websocket")
    }

    pub(crate) fn version() -> Self {
        let message = "only version 13 of the protocol is supported";
        Self::fixed(http_refusal::UNSUPPORTED_VERSION, message)
            .with_header("Sec-WebSocket-Version", "13")
    }

    pub(crate) fn head_too_large() -> Self {
        let message = "the request head is too large";
        Self::fixed(http_refusal::HEAD_TOO_LARGE, message)
    }

    pub(crate) fn unavailable(message: &'static str, retry_after: Duration) -> Self {
        Self::fixed(http_refusal::UNAVAILABLE, message)
            .with_header("Retry-After", whole_seconds(retry_after).to_string())
    }

    /// Adapts the answer to the method of the request.
    pub(crate) fn answering(mut self, method: &str) -> Self {
        if method == "HEAD" {
            self.answers = Answers::Head;
        }
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(feature = "axum")]
    pub(super) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    #[cfg(feature = "axum")]
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// Returns the whole answer. The connection ends after it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let phrase = self.status.canonical_reason().unwrap_or("Error");
        let mut head = format!("HTTP/1.1 {} {phrase}\r\n", self.status.as_u16());
        // Writing to a string cannot fail.
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(
            head,
            "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.body.len()
        );
        if matches!(self.answers, Answers::Any) {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0))
}
