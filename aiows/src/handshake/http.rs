//! The handshake in the types of the `http` crate, for requests that hyper has parsed.

use axum::extract::OriginalUri;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, Version};
use axum::response::AppendHeaders;
use axum::response::{IntoResponse, Response};

use super::SwitchingProtocols;
use super::header_case::with_header_case;
use super::refusal::Refusal;
use super::request::Request;
use super::target::RequestTarget;

/// Converts a request for the checks of the handshake.
pub(crate) fn view(parts: &Parts) -> Request<'_> {
    Request {
        method: parts.method.as_str(),
        target: target(&parts.uri),
        uncut_path: parts.extensions.get::<OriginalUri>().map(|uri| uri.path()),
        minor_version: u8::from(parts.version != Version::HTTP_10),
        headers: parts.headers.iter().map(|(name, value)| header(name, value)).collect(),
        extensions: Some(&parts.extensions),
    }
}

fn target(uri: &Uri) -> RequestTarget<'_> {
    let authority = uri.authority().map(Authority::as_str);
    match uri.path_and_query() {
        // A URI without a scheme consists of an authority alone.
        Some(rest) if rest.path().starts_with('/') => {
            RequestTarget::resource(authority, rest.as_str())
        }
        Some(rest) => RequestTarget::Other(rest.as_str()),
        None => RequestTarget::Other(authority.unwrap_or_default()),
    }
}

fn header<'a>(name: &'a HeaderName, value: &'a HeaderValue) -> httparse::Header<'a> {
    httparse::Header { name: name.as_str(), value: value.as_bytes() }
}

impl SwitchingProtocols {
    /// Returns the answer for an HTTP server that writes it.
    pub(crate) fn to_response(&self) -> Response {
        let headers = [
            (UPGRADE, "websocket"),
            (CONNECTION, "Upgrade"),
            (SEC_WEBSOCKET_ACCEPT, self.accept_key.as_str()),
        ];
        let subprotocol = self.subprotocol.as_deref().map(|name| (SEC_WEBSOCKET_PROTOCOL, name));
        let headers = AppendHeaders(headers.into_iter().chain(subprotocol));
        with_header_case((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
    }
}

/// Returns the answer to a refused request.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let json = [(CONTENT_TYPE, "application/json")];
    let headers = AppendHeaders(refusal.headers().iter().map(|(name, value)| (*name, value)));
    with_header_case((refusal.status(), json, headers, refusal.body().to_owned()).into_response())
}
