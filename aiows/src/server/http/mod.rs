//! HTTP beside the sockets: an axum application on the same port.

mod body;
mod json;
mod service;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::http::request::Parts;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tower_service::Service;

use self::body::PatientBody;
pub use self::json::JsonBody;
pub use self::service::WebSocketService;
use self::upgrade::upgrade;
use super::panics::{self, caught_future};
use super::places::Place;
use super::{App, Server};
use crate::handshake::{self, MAX_HEADERS, Refusal, RequestHead};
use crate::limits::Limits;
use crate::transport::{Prefixed, Stream, WriteTimeout};

/// Bytes hyper's buffer has at least.
const MIN_BUFFER: usize = 8 * 1024;

/// The longest deadline hyper is given: it adds it to the present, which must not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Server {
    /// Serves an axum application on the port of the sockets.
    ///
    /// A request with `Upgrade: websocket` is one for the routers of this server, whatever its path;
    /// every other one is answered by the application, by its own 404 too. A second call is a mistake at
    /// the build: `axum::Router::merge` puts two applications together.
    ///
    /// Its connections count as [`Limits::connections`] and finish what they are at when the server
    /// stops. They have [`Limits::handshake_timeout`] for each request head, also while they are idle,
    /// and for each part of a body; a peer that does not read for [`Limits::write_timeout`] is cut off.
    /// Sizes of bodies are the application's to bound (`axum::extract::DefaultBodyLimit`, 2 MB), as is
    /// the time for a whole request. `ConnectInfo<SocketAddr>` has the peer's address.
    ///
    /// ```no_run
    /// use aiows::{Result, Router, Server, message, routes};
    /// use axum::response::Html;
    ///
    /// #[message("ping")]
    /// async fn ping() {}
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<()> {
    ///     let page = || async { Html("<script>new WebSocket(`ws://${location.host}/ws`)</script>") };
    ///     Server::new()
    ///         .route("/ws", Router::new().routes(routes![ping]))
    ///         .http(axum::Router::new().route("/", axum::routing::get(page)))
    ///         .run("127.0.0.1:8000")
    ///         .await
    /// }
    /// ```
    pub fn http(mut self, application: axum::Router) -> Self {
        self.http.give(application);
        self
    }
}

/// Tells whether the application answers a request, in place of the server itself.
pub(super) fn is_for_application(request: &handshake::Request<'_>, app: &App) -> bool {
    app.http().is_some() && !handshake::is_websocket_request(request)
}

/// Serves the requests of a connection from its first one on, which was read already.
pub(super) async fn serve<S: Stream + 'static>(
    stream: S,
    peer_addr: Option<SocketAddr>,
    head: RequestHead,
    mut place: Place,
    app: App,
) {
    place.enter(None);
    let stream = Prefixed::new(head.into_bytes(), stream);
    let stream = TokioIo::new(WriteTimeout::new(stream, app.limits().write_timeout));
    let connection = Connection { peer_addr, place: Arc::new(Mutex::new(Some(place))), app };
    let app = connection.app.clone();
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let served = builder(app.limits()).serve_connection(stream, service).with_upgrades();
    let mut served = pin!(served);
    let ended = tokio::select! {
        biased;
        ended = &mut served => ended,
        _ = app.handle().lifecycle().stopping() => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served => ended,
                () = app.handle().lifecycle().cutting() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = peer_addr.map(display), %error, "HTTP connection ended");
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // A client may end its side behind its last request.
        .half_close(true)
        .header_read_timeout(limits.handshake_timeout.min(LONGEST))
        .max_headers(limits.request_headers.min(MAX_HEADERS))
        .max_buf_size(limits.request_head_size.max(MIN_BUFFER));
    builder
}

/// What the requests of one connection share.
#[derive(Clone)]
struct Connection {
    app: App,
    peer_addr: Option<SocketAddr>,
    /// Taken by the session when the connection becomes a WebSocket.
    place: Arc<Mutex<Option<Place>>>,
}

impl Connection {
    async fn answer(&self, mut request: hyper::Request<Incoming>) -> Response {
        if let Some(address) = self.peer_addr {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        let (parts, body) = request.into_parts();
        match self.app.http() {
            Some(http) if !handshake::is_websocket_request(&handshake::view(&parts)) => {
                let body = PatientBody::new(body, self.app.limits().handshake_timeout);
                let request = Request::from_parts(parts, Body::new(body));
                let mut http = http.clone();
                match caught_future(async move { http.call(request).await }).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(never)) => match never {},
                    Err(panic) => handshake::refused(&panics::refusal(&panic)),
                }
            }
            _ => self.upgrade(parts).await,
        }
    }

    async fn upgrade(&self, mut parts: Parts) -> Response {
        // Nothing is asked over this connection any more once its place is taken.
        let place = || {
            let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
            place.ok_or_else(|| Refusal::bad_request("the connection is a WebSocket already"))
        };
        let answer = upgrade(&self.app, &mut parts, self.peer_addr, place).await;
        answer.unwrap_or_else(|refusal| {
            let mut answer = handshake::refused(&refusal);
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        })
    }
}
