use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::request::Request;
use crate::error::HandlerError;

/// A request that may become a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    accept: String,
}

/// An HTTP answer that refuses a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: u16,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    header: Option<(&'static str, String)>,
    /// What is wrong with single parameters.
    fields: Option<Box<Value>>,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code: code.into(), message: message.into(), header: None, fields: None }
    }

    fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    pub(crate) fn bad_request(message: &'static str) -> Self {
        Self::new(400, "bad_request", message)
    }

    /// Tells in HTTP what a connect handler could not take.
    pub(crate) fn invalid_request(error: &HandlerError) -> Self {
        Self {
            code: error.code().to_owned().into(),
            message: error.message().to_owned().into(),
            fields: Some(Box::new(json!(error.fields()))),
            ..Self::bad_request("")
        }
    }

    pub(crate) fn forbidden(message: &'static str) -> Self {
        Self::new(403, "forbidden", message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "not_found", "nothing is served under this path")
    }

    pub(crate) fn method() -> Self {
        Self::new(405, "method_not_allowed", "a WebSocket is opened with GET")
            .with_header("Allow", "GET")
    }

    pub(crate) fn upgrade_required() -> Self {
        Self::new(426, "upgrade_required", "this path serves WebSocket connections")
            .with_header("Upgrade", "websocket")
    }

    pub(crate) fn version() -> Self {
        Self::new(426, "unsupported_version", "only version 13 of the protocol is supported")
            .with_header("Sec-WebSocket-Version", "13")
    }

    pub(crate) fn head_too_large() -> Self {
        Self::new(431, "head_too_large", "the request head is too large")
    }

    pub(crate) fn unavailable(message: &'static str, retry_after_seconds: u64) -> Self {
        Self::new(503, "unavailable", message)
            .with_header("Retry-After", retry_after_seconds.to_string())
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The whole answer; the connection ends with it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(fields) = &self.fields {
            error["fields"] = Value::clone(fields);
        }
        let body = json!({ "error": error }).to_string();
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, phrase(self.status));
        // Writing to a string cannot fail.
        if let Some((name, value)) = &self.header {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(
            head,
            "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        (head + &body).into_bytes()
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// Checks everything RFC 6455 section 4.2.1 demands of a request, and that it has no body.
///
/// # Errors
///
/// 400, 405 or 426, whichever tells the client what to change.
pub(crate) fn check_upgrade(request: &Request<'_>) -> Result<Upgrade, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::method());
    }
    if !has_token(request, "upgrade", "websocket") {
        return Err(Refusal::upgrade_required());
    }
    if !has_token(request, "connection", "upgrade") {
        return Err(Refusal::bad_request("`Connection` does not name `upgrade`"));
    }
    if request.minor_version < 1 {
        return Err(Refusal::bad_request("a WebSocket needs HTTP/1.1"));
    }
    match request.one("host") {
        Ok(Some(host)) if !host.is_empty() => {}
        _ => return Err(Refusal::bad_request("exactly one `Host` is required")),
    }
    check_no_body(request)?;
    match request.one("sec-websocket-version") {
        Ok(Some("13")) => {}
        Ok(Some(_)) | Ok(None) => return Err(Refusal::version()),
        Err(()) => {
            return Err(Refusal::bad_request("`Sec-WebSocket-Version` is given twice"));
        }
    }
    match request.one("sec-websocket-key") {
        Ok(Some(key)) if is_key(key) => Ok(Upgrade { accept: derive_accept_key(key.as_bytes()) }),
        _ => Err(Refusal::bad_request("exactly one valid `Sec-WebSocket-Key` is required")),
    }
}

fn check_no_body(request: &Request<'_>) -> Result<(), Refusal> {
    let length = request.one("content-length");
    let coded = request.all("transfer-encoding").next().is_some();
    if coded || !matches!(length, Ok(None | Some("0"))) {
        return Err(Refusal::bad_request("an upgrade request has no body"));
    }
    Ok(())
}

fn has_token(request: &Request<'_>, header: &str, token: &str) -> bool {
    request
        .all(header)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// 16 bytes in base64: 22 characters and two signs of padding.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else {
        return false;
    };
    digits.len() == 22
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        // The last digit carries two bits only.
        && matches!(digits.as_bytes()[21], b'A' | b'Q' | b'g' | b'w')
}

/// The answer that opens the WebSocket.
pub(crate) fn accepted(upgrade: &Upgrade, subprotocol: Option<&str>) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        upgrade.accept
    );
    if let Some(subprotocol) = subprotocol {
        // Writing to a string cannot fail.
        let _ = write!(answer, "Sec-WebSocket-Protocol: {subprotocol}\r\n");
    }
    answer.push_str("\r\n");
    answer.into_bytes()
}
