//! Chooses the subprotocol of a connection.

use std::sync::Arc;

use super::request::Request;

/// The subprotocols of a server, in the order of preference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subprotocols(Vec<Arc<str>>);

impl Subprotocols {
    pub(crate) fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(|name| Arc::from(name.into())).collect())
    }

    /// Returns a text for every name that no client could offer.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (at, name) in self.0.iter().enumerate() {
            if !is_token(name) {
                mistakes.push(format!("subprotocol {name:?} is not a token of HTTP"));
            }
            if self.0[..at].contains(name) {
                mistakes.push(format!("subprotocol {name:?} is given twice"));
            }
        }
        mistakes
    }

    /// Chooses the first of the server's subprotocols that the client offers. Source: RFC 6455
    /// section 4.2.2.
    pub(crate) fn choose(&self, request: &Request<'_>) -> Option<Arc<str>> {
        self.0.iter().find(|name| is_offered(request, name)).cloned()
    }
}

fn is_offered(request: &Request<'_>, name: &str) -> bool {
    request
        .all("sec-websocket-protocol")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|offered| offered.trim_ascii() == name.as_bytes())
}

/// Returns whether a name is a token. Source: RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_char)
}
