//! The target in the request line of a request.

/// The target of a request. Source: RFC 9112 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestTarget<'a> {
    /// A path, and in absolute form also the authority.
    Resource { authority: Option<&'a str>, path: &'a str, query: &'a str },
    /// `*`, an authority alone, or an invalid target. A GET request cannot have one of these.
    Other(&'a str),
}

impl<'a> RequestTarget<'a> {
    pub(super) fn parse(target: &'a str) -> Self {
        if target.starts_with('/') {
            return Self::resource(None, target);
        }
        let absolute = target.split_once("://").filter(|(scheme, _)| {
            ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        });
        let Some((_, rest)) = absolute else { return Self::Other(target) };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // The target of a request must not contain a user (RFC 9110 section 4.2.4).
        match authority.is_empty() || authority.contains('@') || rest.starts_with('#') {
            true => Self::Other(target),
            false => Self::resource(Some(authority), rest),
        }
    }

    pub(super) fn resource(authority: Option<&'a str>, path_and_query: &'a str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        Self::Resource { authority, path: if path.is_empty() { "/" } else { path }, query }
    }

    pub(super) fn path(self) -> &'a str {
        match self {
            Self::Resource { path, .. } => path,
            Self::Other(target) => target,
        }
    }

    pub(super) fn query(self) -> &'a str {
        match self {
            Self::Resource { query, .. } => query,
            Self::Other(_) => "",
        }
    }

    pub(super) fn authority(self) -> Option<&'a str> {
        match self {
            Self::Resource { authority, .. } => authority,
            Self::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for (target, authority, path, query) in [
            ("/", None, "/", ""),
            ("/a?b?c", None, "/a", "b?c"),
            ("//a", None, "//a", ""),
            ("http://h", Some("h"), "/", ""),
            ("WS://h:1?b", Some("h:1"), "/", "b"),
            ("https://[::1]:1/a?b", Some("[::1]:1"), "/a", "b"),
            ("/a?u=http://h/b", None, "/a", "u=http://h/b"),
        ] {
            assert_eq!(
                RequestTarget::parse(target),
                RequestTarget::Resource { authority, path, query },
                "{target}"
            );
        }
        for other in
            ["*", "", "a", "h:80", "http://", "http:///a", "http://u@h/", "http://h#a", "x://h/"]
        {
            assert_eq!(RequestTarget::parse(other), RequestTarget::Other(other));
        }
    }
}
