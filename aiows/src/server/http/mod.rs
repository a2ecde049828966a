//! HTTP on the port of the server: an axum application answers requests that are not for a
//! WebSocket.
//!
//! - `upgrade.rs`: an upgrade request that hyper has read
//! - `service.rs`: [`WebSocketService`], the server as a route of an axum application

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

pub use self::service::WebSocketService;
use self::upgrade::upgrade;
use super::{App, Server};
use crate::admission::{caught_future, refusal_for};
use crate::handshake::{self, MAX_HEADERS, Refusal};
use crate::limits::Limits;
use crate::shutdown::ConnectionPermit;
use crate::transport::{BodyTimeout, Prefixed, Stream, WriteTimeout};

/// The smallest buffer of hyper, in bytes.
const MIN_BUFFER: usize = 8 * 1024;

/// The longest timeout that hyper gets. It adds the timeout to the present, which must not
/// overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Server {
    /// Serves an axum application on the port of the server.
    ///
    /// The routers of this server get every request with `Upgrade: websocket`, on any path. The
    /// application answers all other requests, also with its own 404. A second call is a mistake at
    /// the build. To serve two applications, combine them with `axum::Router::merge`.
    ///
    /// Connections of the application count toward [`Limits::connections`] and finish their current
    /// request when the server stops. They have [`Limits::handshake_timeout`] for each request
    /// head, even while they are idle, and for each part of a body. A client that does not read for
    /// [`Limits::write_timeout`] is disconnected. Your application bounds the size of bodies
    /// (`axum::extract::DefaultBodyLimit`, 2 MB) and the time of a whole request.
    /// `ConnectInfo<SocketAddr>` has the address of the client.
    ///
    /// ```no_run
    /// use aiows::{Error, Router, Server, message, routes};
    /// use axum::response::Html;
    ///
    /// #[message("ping")]
    /// async fn ping() {}
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<(), Error> {
    ///     let page = || async { Html("<script>new WebSocket(`ws://${location.host}/ws`)</script>") };
    ///     Server::new()
    ///         .route("/ws", Router::new().routes(routes![ping]))
    ///         .http(axum::Router::new().route("/", axum::routing::get(page)))
    ///         .run("127.0.0.1:8000")
    ///         .await
    /// }
    /// ```
    pub fn http(mut self, application: axum::Router) -> Self {
        self.http.set(application);
        self
    }
}

/// Serves the requests of a connection, of which these bytes have been read.
pub(super) async fn serve<S: Stream + 'static>(
    stream: S,
    peer_addr: Option<SocketAddr>,
    bytes: Vec<u8>,
    mut permit: ConnectionPermit,
    app: App,
) {
    permit.enter(None);
    let stream = Prefixed::new(bytes, stream);
    let stream =
        TokioIo::new(WriteTimeout::new(stream, app.inner.admission.rules.limits.write_timeout));
    let connection = Connection { peer_addr, permit: Arc::new(Mutex::new(Some(permit))), app };
    let app = connection.app.clone();
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let served = builder(&app.inner.admission.rules.limits)
        .serve_connection(stream, service)
        .with_upgrades();
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
        // A client may shut down its side after its last request.
        .half_close(true)
        .header_read_timeout(limits.handshake_timeout.min(LONGEST))
        .max_headers(limits.request_headers.min(MAX_HEADERS))
        .max_buf_size(limits.request_head_size.max(MIN_BUFFER));
    builder
}

/// The state that the requests of one connection share.
#[derive(Clone)]
struct Connection {
    app: App,
    peer_addr: Option<SocketAddr>,
    /// Taken by the session when the connection becomes a WebSocket.
    permit: Arc<Mutex<Option<ConnectionPermit>>>,
}

impl Connection {
    async fn answer(&self, mut request: hyper::Request<Incoming>) -> Response {
        if let Some(address) = self.peer_addr {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        let (parts, body) = request.into_parts();
        match &self.app.inner.http {
            Some(http) if self.app.inner.admission.is_for_application(&handshake::view(&parts)) => {
                let body =
                    BodyTimeout::new(body, self.app.inner.admission.rules.limits.handshake_timeout);
                let request = Request::from_parts(parts, Body::new(body));
                let mut http = http.clone();
                match caught_future(async move { http.call(request).await }).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(never)) => match never {},
                    Err(panic) => handshake::refused(&refusal_for(&panic)),
                }
            }
            _ => self.upgrade(parts).await,
        }
    }

    async fn upgrade(&self, mut parts: Parts) -> Response {
        // SetOnce the permit is taken, the connection carries no further request.
        let permit = || {
            let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
            permit.ok_or_else(|| Refusal::bad_request("the connection is a WebSocket already"))
        };
        let answer = upgrade(&self.app, &mut parts, self.peer_addr, permit).await;
        answer.unwrap_or_else(|refusal| {
            let mut answer = handshake::refused(&refusal);
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        })
    }
}
