//! The check of the `Origin` header, against pages of other sites.

use super::refusal::Refusal;
use super::request::Request;

/// The pages that may connect. Source: RFC 6455 section 10.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    Any,
    Listed(Vec<String>),
    /// Pages that were served by the host of the request.
    #[default]
    Same,
}

impl Origins {
    /// Returns a text for every listed origin that no browser would send.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let Self::Listed(origins) = self else {
            return Vec::new();
        };
        if origins.is_empty() {
            return vec![
                "`allow_origins` lists no origin, so that no page could connect; leave it out to \
                 accept pages of this host"
                    .to_owned(),
            ];
        }
        let wrong = origins.iter().filter(|origin| *origin != "null" && !is_origin(origin));
        wrong
            .map(|origin| {
                format!(
                    "allowed origin `{origin}` is not an origin, \
                     write scheme, host and port only: `https://example.com`"
                )
            })
            .collect()
    }

    /// Checks the `Origin` of a request. A request without one does not come from a browser.
    ///
    /// # Errors
    ///
    /// Returns 403 for a page that may not connect.
    pub(crate) fn check(&self, request: &Request<'_>) -> Result<(), Refusal> {
        let refused = || Refusal::forbidden("this origin may not connect");
        let Some(origin) = request.one("origin").map_err(|()| refused())? else {
            return Ok(());
        };
        let allowed = match self {
            Self::Any => true,
            Self::Listed(listed) if is_of_the_web(origin) => parse(origin).is_some_and(|origin| {
                listed.iter().any(|listed| parse(listed).is_some_and(|listed| listed == origin))
            }),
            // An origin with another scheme has no default port, and perhaps no host, so the texts
            // are compared.
            Self::Listed(listed) => listed.iter().any(|listed| listed == origin),
            Self::Same => is_same(origin, request),
        };
        if allowed { Ok(()) } else { Err(refused()) }
    }
}

/// Returns whether the page was served by the host of the request. The schemes are not compared,
/// because behind a proxy that ends TLS they differ.
fn is_same(origin: &str, request: &Request<'_>) -> bool {
    let Some(host) = request.host() else {
        return false;
    };
    parse(origin)
        .filter(|origin| matches!(&*origin.scheme, "http" | "https"))
        .is_some_and(|origin| parse_host(host, &origin.scheme) == Some((origin.host, origin.port)))
}

/// Returns whether a text may be in a list of origins.
fn is_origin(origin: &str) -> bool {
    if is_of_the_web(origin) {
        return parse(origin).is_some();
    }
    origin.split_once("://").is_some_and(|(scheme, rest)| {
        is_scheme(scheme) && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    })
}

/// Returns whether the default port of an origin's scheme is known.
fn is_of_the_web(origin: &str) -> bool {
    let scheme = origin.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    })
}

fn is_scheme(scheme: &str) -> bool {
    !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// Parses `scheme://host[:port]`, without a path, a user or a list.
fn parse(origin: &str) -> Option<Origin> {
    let (scheme, authority) = origin.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = parse_host(authority, &scheme)?;
    is_scheme(&scheme).then_some(Origin { scheme, host, port })
}

fn parse_host(authority: &str, scheme: &str) -> Option<(String, u16)> {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[bracket..].find(':') {
        Some(colon) => (&authority[..bracket + colon], Some(&authority[bracket + colon + 1..])),
        None => (authority, None),
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None if matches!(scheme, "https" | "wss") => 443,
        None => 80,
    };
    let valid = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(&byte));
    valid.then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_only() {
        assert_eq!(parse("https://Example.com"), parse("https://example.com:443"));
        assert_ne!(parse("https://example.com"), parse("http://example.com"));
        assert_eq!(parse("http://[::1]:8000").map(|origin| origin.port), Some(8000));
        for wrong in [
            "example.com",
            "https://",
            "https://a/path",
            "https://user@a",
            "https://a:b",
            "https://a:99999",
            "https://a, https://b",
            "null",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_listed_text_that_is_not_an_origin_is_a_mistake() {
        let origins = Origins::Listed(vec!["https://a.example".into(), "b.example".into()]);
        assert_eq!(
            origins.mistakes(),
            ["allowed origin `b.example` is not an origin, \
              write scheme, host and port only: `https://example.com`"]
        );
    }
}
