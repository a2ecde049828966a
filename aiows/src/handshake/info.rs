//! The parts of an upgrade request that a connection keeps.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use super::request::Request;

/// The parts of the upgrade request that the handlers of its connection need.
#[derive(Debug, Default)]
pub(crate) struct RequestInfo {
    /// The parameters of the path in their order, percent-decoded.
    pub(crate) params: Option<Vec<(String, String)>>,
    /// The query as it was sent, without the `?`.
    pub(crate) query: Option<Box<str>>,
    pub(crate) headers: Option<Arc<HeaderMap>>,
    /// The request extensions of the types that the handlers extract.
    pub(crate) extensions: Extensions,
}

/// Decodes the parameters of a path.
///
/// # Errors
///
/// Returns 400 if a parameter is not UTF-8.
pub(crate) fn decode_params(params: &[(&str, &str)]) -> Result<Vec<(String, String)>, Refusal> {
    let decoded = params.iter().map(|(name, value)| {
        // Decoded after the path was matched, so that an encoded slash stays in its parameter.
        let value = percent_decode_str(value).decode_utf8();
        value.map(|value| ((*name).to_owned(), value.into_owned()))
    });
    let decoded: Result<_, _> = decoded.collect();
    decoded.map_err(|_| Refusal::bad_request("the path is not percent-encoded UTF-8"))
}

/// Returns whether a query is UTF-8 after percent-decoding.
pub(crate) fn is_utf8(query: &str) -> bool {
    percent_decode_str(query).decode_utf8().is_ok()
}

impl Request<'_> {
    pub(crate) fn query(&self) -> &str {
        self.target.query()
    }

    /// Returns the headers as a map.
    ///
    /// # Errors
    ///
    /// Returns 400 if a header is not valid HTTP.
    pub(crate) fn header_map(&self) -> Result<HeaderMap, Refusal> {
        let invalid = || Refusal::bad_request("the request is not valid HTTP");
        let mut map = HeaderMap::with_capacity(self.headers.len());
        for header in &self.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| invalid())?;
            let value = HeaderValue::from_bytes(header.value).map_err(|_| invalid())?;
            map.append(name, value);
        }
        Ok(map)
    }
}
