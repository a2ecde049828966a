//! The checks of an upgrade request, and the 101 that accepts it.

use std::fmt::Write as _;
use std::sync::Arc;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::origin::Origins;
use super::refusal::Refusal;
use super::request::Request;
use super::subprotocol::Subprotocols;
use super::target::RequestTarget;

/// The answer 101, which opens a WebSocket.
#[derive(Debug)]
pub(crate) struct SwitchingProtocols {
    pub(super) accept_key: String,
    pub(crate) subprotocol: Option<Arc<str>>,
}

/// Checks an upgrade request and the page that it comes from, and makes the answer.
///
/// # Errors
///
/// Returns 400, 403, 405 or 426, depending on the change that the client has to make.
pub(crate) fn accept_upgrade(
    request: &Request<'_>,
    origins: &Origins,
    subprotocols: &Subprotocols,
) -> Result<SwitchingProtocols, Refusal> {
    let key = check_upgrade(request)?;
    origins.check(request)?;
    let accept_key = derive_accept_key(key.as_bytes());
    Ok(SwitchingProtocols { accept_key, subprotocol: subprotocols.choose(request) })
}

/// Checks all requirements of RFC 6455 section 4.2.1, and that the request has no body. Returns its
/// key.
fn check_upgrade<'a>(request: &Request<'a>) -> Result<&'a str, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::method());
    }
    if !is_websocket_request(request) {
        return Err(Refusal::upgrade_required());
    }
    if !has_token(request, "connection", "upgrade") {
        return Err(Refusal::bad_request("`Connection` does not name `upgrade`"));
    }
    if request.minor_version < 1 {
        return Err(Refusal::bad_request("a WebSocket needs HTTP/1.1"));
    }
    if let RequestTarget::Other(_) = request.target {
        return Err(Refusal::bad_request("the request target is not a path"));
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
        Ok(Some(key)) if is_key(key) => Ok(key),
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

/// Returns whether a request is for a WebSocket and not for a page.
pub(crate) fn is_websocket_request(request: &Request<'_>) -> bool {
    has_token(request, "upgrade", "websocket")
}

fn has_token(request: &Request<'_>, header: &str, token: &str) -> bool {
    request
        .all(header)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Returns whether a key is 16 bytes in base64: 22 characters and two signs of padding.
///
/// The last character carries two bits. Its other four may have any value, like in the example of
/// RFC 6455 section 4.1. The key is not decoded, so only its characters are checked.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else {
        return false;
    };
    digits.len() == 22
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

impl SwitchingProtocols {
    /// Returns the whole answer as it is sent.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            self.accept_key
        );
        if let Some(subprotocol) = &self.subprotocol {
            // Writing to a string cannot fail.
            let _ = write!(answer, "Sec-WebSocket-Protocol: {subprotocol}\r\n");
        }
        answer.push_str("\r\n");
        answer.into_bytes()
    }
}
