//! Header names as their RFCs write them, for answers that hyper sends.
//!
//! A `HeaderName` is in small letters, and hyper writes it like that, unless the answer carries the
//! spelling of a message that hyper has read. So hyper reads one, once.

use std::convert::Infallible;
use std::sync::OnceLock;

use axum::http::{Extensions, Request, Response as Empty};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// A message with the names that the server's own answers have.
const SAMPLE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nAllow: x\r\nConnection: close\r\n\
    Content-Length: 0\r\nContent-Type: x\r\nDate: x\r\nRetry-After: x\r\n\
    Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: x\r\nSec-WebSocket-Version: x\r\n\
    Upgrade: x\r\nWWW-Authenticate: x\r\n\r\n";

/// Has hyper write the header names of an answer as in `SAMPLE`.
pub(super) fn spelled(mut answer: Response) -> Response {
    static SPELLING: OnceLock<Extensions> = OnceLock::new();
    answer.extensions_mut().extend(SPELLING.get_or_init(read_sample).clone());
    answer
}

/// Returns what hyper attaches to a request whose spelling it keeps; nothing if it does not keep it.
fn read_sample() -> Extensions {
    let read = OnceLock::new();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().remove::<OnUpgrade>();
        // The sample is one request.
        let _ = read.set(request.extensions().clone());
        async { Ok::<_, Infallible>(Empty::new(String::new())) }
    });
    let stream = TokioIo::new(tokio::io::join(SAMPLE, tokio::io::sink()));
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).header_read_timeout(None);
    // All bytes are there, so there is nothing to wait for.
    let _ = builder.serve_connection(stream, service).now_or_never();
    read.into_inner().unwrap_or_default()
}
