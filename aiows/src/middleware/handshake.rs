use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Extensions, HeaderMap};
use serde::de::DeserializeOwned;

use crate::error::{Result, http_refusal};
use crate::extract::{Path, Query};
use crate::handler::{BoxFuture, isolated};
use crate::handshake::{Refusal, Request, RequestInfo, decode_params};
use crate::state::StateMap;
use crate::websocket::ContextMap;

pub(super) type HandshakeHook = Arc<dyn Fn(Handshake) -> BoxFuture + Send + Sync>;

/// A request for a WebSocket that is not yet answered; see
/// [`Middleware::on_handshake`](super::Middleware::on_handshake).
pub struct Handshake {
    asked: Arc<HandshakeRequest>,
    state: Arc<StateMap>,
}

/// What middleware is asked about.
pub(crate) struct HandshakeRequest {
    path: String,
    /// Without the headers.
    info: RequestInfo,
    headers: HeaderMap,
    extensions: Extensions,
    peer_addr: Option<SocketAddr>,
    context: ContextMap,
}

impl HandshakeRequest {
    /// # Errors
    ///
    /// 400 for a path or a header that cannot be read.
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
    /// Under `nest_service` of an axum application it still has the prefix of the nest.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.asked.path
    }

    /// Reads the parameters of the path, as [`Path`] does for handlers.
    ///
    /// # Errors
    ///
    /// `invalid_path` with the status 400.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T> {
        let params = Path::read(&self.asked.info);
        let params = params.map_err(|error| error.status(http_refusal::INVALID_PATH.status))?;
        Ok(params.0)
    }

    /// Reads the query of the URL, as [`Query`] does for handlers.
    ///
    /// # Errors
    ///
    /// `invalid_query` with the status 400.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let query = Query::read(&self.asked.info);
        let query = query.map_err(|error| error.status(http_refusal::INVALID_QUERY.status))?;
        Ok(query.0)
    }

    /// Returns the headers of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.asked.headers
    }

    /// Returns what layers of the host have put into the request's extensions.
    ///
    /// They are empty unless the server is part of an axum application (`App::into_service`). Handlers
    /// take them as [`Extension`](crate::Extension).
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.asked.extensions
    }

    /// Returns the address of the peer's end of the socket; `None` in memory.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.asked.peer_addr
    }

    /// Returns a clone of the state of type `T`: the router's, else the server's.
    #[must_use]
    pub fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.state.get()
    }

    /// Returns the values the connection begins with; [`WebSocket::context`] has them later.
    ///
    /// [`WebSocket::context`]: crate::WebSocket::context
    #[must_use]
    pub fn context(&self) -> &ContextMap {
        &self.asked.context
    }
}

// The headers may hold secrets: the log is not to have them by accident.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.asked.path)
            .field("peer_addr", &self.asked.peer_addr)
            .finish_non_exhaustive()
    }
}

/// The middleware that wants to see requests, the outermost first.
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

    /// Asks every middleware, and returns what they attached.
    ///
    /// # Errors
    ///
    /// What the first one refused with.
    pub(crate) async fn ask(&self, asked: HandshakeRequest) -> Result<ContextMap> {
        let asked = Arc::new(asked);
        for (hook, state) in &self.hooks {
            let handshake = Handshake { asked: Arc::clone(&asked), state: Arc::clone(state) };
            isolated(None, || hook(handshake)).await?;
        }
        // No middleware can keep a handshake.
        Ok(Arc::into_inner(asked).map(|asked| asked.context).unwrap_or_default())
    }
}

impl fmt::Debug for HandshakeHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandshakeHooks").field(&self.hooks.len()).finish()
    }
}
