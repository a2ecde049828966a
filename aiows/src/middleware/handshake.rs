//! The hooks that run before the upgrade: `Middleware::on_handshake`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Extensions, HeaderMap};
use serde::de::DeserializeOwned;

use crate::error::{Result, http_refusal};
use crate::extract::{Path, Query};
use crate::handler::{BoxFuture, HandlerFuture};
use crate::handshake::{Refusal, Request, RequestInfo, decode_params};
use crate::state::StateMap;
use crate::websocket::ContextMap;

pub(super) type HandshakeHook = Arc<dyn Fn(Handshake) -> BoxFuture<()> + Send + Sync>;

/// An upgrade request before it is answered; see
/// [`Middleware::on_handshake`](super::Middleware::on_handshake).
pub struct Handshake {
    request: Arc<HandshakeRequest>,
    state: Arc<StateMap>,
}

/// The request that all middleware of a handshake share.
pub(crate) struct HandshakeRequest {
    path: String,
    /// The path parameters and the query; its header field is unused.
    info: RequestInfo,
    headers: HeaderMap,
    extensions: Extensions,
    peer_addr: Option<SocketAddr>,
    context: ContextMap,
}

impl HandshakeRequest {
    /// # Errors
    ///
    /// Status 400 if the path or a header cannot be decoded.
    pub(crate) fn read(
        request: &Request<'_>,
        params: &[(&str, &str)],
        peer_addr: Option<SocketAddr>,
    ) -> Result<Self, Refusal> {
        let info = RequestInfo {
            params: Some(decode_params(params)?),
            query: Some(request.query().into()),
            headers: None,
            extensions: Extensions::new(),
        };
        Ok(Self {
            path: request.sent_path().to_owned(),
            info,
            headers: request.header_map()?,
            extensions: request.extensions.cloned().unwrap_or_default(),
            peer_addr,
            context: ContextMap::default(),
        })
    }
}

impl Handshake {
    /// Returns the path of the URL as the client sent it, without the query.
    ///
    /// Under `nest_service` of an axum application it includes the prefix of the nest.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.request.path
    }

    /// Deserializes the path parameters, as [`Path`] does for handlers.
    ///
    /// # Errors
    ///
    /// `invalid_path` with status 400, if they do not fit `T`.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T> {
        let params = Path::read(&self.request.info);
        let params = params.map_err(|error| error.status(http_refusal::INVALID_PATH.status))?;
        Ok(params.0)
    }

    /// Deserializes the query, as [`Query`] does for handlers.
    ///
    /// # Errors
    ///
    /// `invalid_query` with status 400, if it does not fit `T`.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let query = Query::read(&self.request.info);
        let query = query.map_err(|error| error.status(http_refusal::INVALID_QUERY.status))?;
        Ok(query.0)
    }

    /// Returns the headers of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// Returns the request extensions that layers of the host application have added.
    ///
    /// They are empty unless the server is part of an axum application (`App::into_service`). In
    /// handlers you get them with [`Extension`](crate::extract::Extension).
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.request.extensions
    }

    /// Returns the address of the peer's end of the socket, or `None` for an in-memory connection.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.request.peer_addr
    }

    /// Returns a clone of the state of type `T`, from the router or otherwise from the server.
    #[must_use]
    pub fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.state.get()
    }

    /// Returns the values that the connection starts with.
    ///
    /// Values you insert here are available to handlers in [`WebSocket::context`].
    ///
    /// [`WebSocket::context`]: crate::WebSocket::context
    #[must_use]
    pub fn context(&self) -> &ContextMap {
        &self.request.context
    }
}

// Headers may hold secrets, so they must not reach the log by accident.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.request.path)
            .field("peer_addr", &self.request.peer_addr)
            .finish_non_exhaustive()
    }
}

/// The middleware that override `on_handshake`, the outermost first.
#[derive(Default)]
pub(crate) struct HandshakeHooks {
    hooks: Vec<(HandshakeHook, Arc<StateMap>)>,
}

impl HandshakeHooks {
    pub(crate) fn add(
        &mut self,
        hooks: impl Iterator<Item = HandshakeHook>,
        state: &Arc<StateMap>,
    ) {
        self.hooks.extend(hooks.map(|hook| (hook, Arc::clone(state))));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Runs every hook, and returns the values that they inserted.
    ///
    /// # Errors
    ///
    /// The first error of a hook.
    pub(crate) async fn run(&self, request: HandshakeRequest) -> Result<ContextMap> {
        let request = Arc::new(request);
        for (hook, state) in &self.hooks {
            let handshake = Handshake { request: Arc::clone(&request), state: Arc::clone(state) };
            HandlerFuture::start(None, || hook(handshake)).await?;
        }
        // Hooks only borrow the handshake, so this is the last reference.
        Ok(Arc::into_inner(request).map(|request| request.context).unwrap_or_default())
    }
}

impl fmt::Debug for HandshakeHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandshakeHooks").field(&self.hooks.len()).finish()
    }
}
