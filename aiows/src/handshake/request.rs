//! Reads the head of an upgrade request from a stream and parses it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::refusal::Refusal;
use super::target::RequestTarget;
use crate::limits::Limits;

/// The number of headers that the parser has space for. A request is accepted with at most
/// `Limits::request_headers`.
pub(crate) const MAX_HEADERS: usize = 256;

/// The bytes of a request up to the blank line, and the bytes that arrived behind it.
#[derive(Debug)]
pub(crate) struct RequestHead {
    bytes: Vec<u8>,
    length: usize,
}

/// A parsed request head.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: RequestTarget<'a>,
    /// The path that the client sent, if a host application has removed its own part from the
    /// target.
    pub(super) uncut_path: Option<&'a str>,
    pub(crate) minor_version: u8,
    pub(super) headers: Vec<httparse::Header<'a>>,
    /// Values that layers of a host application have added to the request.
    pub(crate) extensions: Option<&'a http::Extensions>,
}

impl RequestHead {
    /// Returns all bytes that were read, including the head.
    #[cfg(feature = "axum")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn leftover(&self) -> &[u8] {
        &self.bytes[self.length..]
    }

    /// Parses the head.
    ///
    /// # Errors
    ///
    /// Returns 400 if the bytes are not an HTTP/1 request, and 431 if it has too many headers.
    pub(crate) fn parse(&self, limits: &Limits) -> Result<Request<'_>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let status =
            request.parse(&self.bytes[..self.length]).map_err(|error| parse_refusal(&error))?;
        let (Some(method), Some(target), Some(minor_version)) =
            (request.method, request.path, request.version)
        else {
            return Err(Refusal::bad_request("the request is not valid HTTP"));
        };
        if status.is_partial() {
            return Err(Refusal::bad_request("the request is not valid HTTP"));
        }
        if request.headers.len() > limits.request_headers.min(MAX_HEADERS) {
            return Err(Refusal::head_too_large());
        }
        let target = RequestTarget::parse(target);
        let headers = request.headers.to_vec();
        Ok(Request { method, target, uncut_path: None, minor_version, headers, extensions: None })
    }
}

impl<'a> Request<'a> {
    pub(crate) fn path(&self) -> &'a str {
        self.target.path()
    }

    /// Returns the path as the client sent it.
    pub(crate) fn sent_path(&self) -> &'a str {
        self.uncut_path.unwrap_or_else(|| self.path())
    }

    /// Returns the host of the request, from its target if the target has one, otherwise from its
    /// header.
    ///
    /// Source: RFC 9112 section 3.2.2.
    pub(super) fn host(&self) -> Option<&'a str> {
        self.target.authority().or_else(|| self.one("host").ok().flatten())
    }

    /// Returns all values of a header, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// Returns the value of a header that may occur only once. Fails if it occurs twice or is not
    /// text.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&'a str>, ()> {
        let mut values = self.all(name);
        let (first, second) = (values.next(), values.next());
        match (first, second) {
            (None, _) => Ok(None),
            (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    }
}

/// Reads the rest of a request head. Its first bytes have been read. It has no deadline of its own.
///
/// Returns `Ok(Err(_))` for a request to refuse, and `Err(_)` if the client has left.
pub(crate) async fn read_request_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut bytes: Vec<u8>,
    limits: &Limits,
) -> io::Result<Result<RequestHead, Refusal>> {
    let mut known = 0;
    loop {
        let Ok(end) = end_of_head(&bytes, known) else {
            return Ok(Err(Refusal::bad_request("a line of the request ends without CR")));
        };
        if let Some(length) = end {
            if length > limits.request_head_size {
                return Ok(Err(Refusal::head_too_large()));
            }
            return Ok(Ok(RequestHead { bytes, length }));
        }
        if bytes.len() >= limits.request_head_size {
            return Ok(Err(Refusal::head_too_large()));
        }
        // Bytes that cannot become a request are refused at once instead of at the deadline.
        if known == 0
            && let Err(refusal) = check_start(&bytes)
        {
            return Ok(Err(refusal));
        }
        known = bytes.len();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn check_start(bytes: &[u8]) -> Result<(), Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(bytes).map(drop).map_err(|error| parse_refusal(&error))
}

fn parse_refusal(error: &httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::head_too_large(),
        _ => Refusal::bad_request("the request is not valid HTTP"),
    }
}

/// A line feed without a carriage return before it.
struct BareLineFeed;

/// Returns the length of the head, including the blank line. The bytes before `known` were searched
/// before.
///
/// RFC 9112 section 2.2 lets a server accept bare line feeds. This server does not: a proxy that
/// interprets them differently would see other requests than this server.
fn end_of_head(bytes: &[u8], known: usize) -> Result<Option<usize>, BareLineFeed> {
    for at in (known..bytes.len()).filter(|at| bytes[*at] == b'\n') {
        let Some(line) = bytes[..at].strip_suffix(b"\r") else { return Err(BareLineFeed) };
        if line.ends_with(b"\n") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_may_arrive_byte_by_byte_with_a_frame_behind_it() {
        let bytes = b"ET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n\x81\x00".to_vec();
        let (mut client, mut server) = tokio::io::duplex(1);
        let writer = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut client, &bytes).await.unwrap();
            client
        });
        let limits = Limits::default();
        let head = read_request_head(&mut server, b"G".to_vec(), &limits).await.unwrap().unwrap();
        let request = head.parse(&limits).unwrap();
        assert_eq!((request.method, request.path()), ("GET", "/a"));
        assert_eq!(request.one("HOST"), Ok(Some("x")));
        drop(server);
        let _ = writer.await;
    }

    #[tokio::test]
    async fn bytes_that_are_not_http_are_refused_at_once() {
        let limits = Limits::default();
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
        let refusal =
            read_request_head(&mut tokio::io::empty(), hello, &limits).await.unwrap().unwrap_err();
        assert_eq!(refusal.status(), http::StatusCode::BAD_REQUEST);
    }
}
