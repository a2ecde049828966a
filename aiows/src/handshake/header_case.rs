//! Writes header names in the case that their RFCs use, for answers that hyper sends.
//!
//! A `HeaderName` is in lower case, and hyper writes it like that, unless the answer has the header
//! case of a message that hyper has parsed. So hyper parses a sample, once.

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

/// A message with all header names that the server's own answers have.
const SAMPLE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nAllow: x\r\nConnection: close\r\n\
    Content-Length: 0\r\nContent-Type: x\r\nDate: x\r\nRetry-After: x\r\n\
    Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: x\r\nSec-WebSocket-Version: x\r\n\
    Upgrade: x\r\nWWW-Authenticate: x\r\n\r\n";

/// Makes hyper write the header names of an answer in the case of `SAMPLE`.
pub(super) fn with_header_case(mut answer: Response) -> Response {
    static SPELLING: OnceLock<Extensions> = OnceLock::new();
    answer.extensions_mut().extend(SPELLING.get_or_init(read_sample).clone());
    answer
}

/// Returns the extensions that hyper attaches to a request to preserve its header case. They are
/// empty if hyper attaches none.
fn read_sample() -> Extensions {
    let read = OnceLock::new();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().remove::<OnUpgrade>();
        // Cannot fail: the sample is one request.
        let _ = read.set(request.extensions().clone());
        async { Ok::<_, Infallible>(Empty::new(String::new())) }
    });
    let stream = TokioIo::new(tokio::io::join(SAMPLE, tokio::io::sink()));
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).header_read_timeout(None);
    // All bytes are available, so the service never waits.
    let _ = builder.serve_connection(stream, service).now_or_never();
    read.into_inner().unwrap_or_default()
}
