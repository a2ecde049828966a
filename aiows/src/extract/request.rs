//! Extractors that read the upgrade request of the connection.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::Call;
use super::needs::Need;
use super::{Extraction, FromCall, Needs, params};
use crate::error::{HandlerError, code};
use crate::handshake::{RequestInfo, is_utf8};

/// The parameters of the path, for a router that [`Server::route`](crate::server::Server::route)
/// binds to a path like `/rooms/{room}`.
///
/// A struct is filled by the names of the parameters; a tuple, a list or a single value by their
/// order. A list of pairs, such as `Vec<(String, String)>`, gets each name with its value. Values
/// are percent-decoded. If the path does not fit the type that a connect handler takes, the request
/// is refused with 400 before the upgrade. In other handlers the error is `invalid_path`. Neither
/// answer repeats a value.
///
/// ```
/// use aiows::{Path, Router, Server, connect, message, routes};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Seat {
///     room: String,
///     number: u32,
/// }
///
/// #[connect]
/// async fn sit(Path(seat): Path<Seat>) {
///     println!("seat {} in {}", seat.number, seat.room);
/// }
///
/// #[message("where")]
/// async fn whereabouts(Path((room, _)): Path<(String, u32)>) -> serde_json::Value {
///     serde_json::json!({ "type": "here", "room": room })
/// }
///
/// let router = Router::new().routes(routes![sit, whereabouts]);
/// assert!(Server::new().route("/rooms/{room}/{number}", router).build().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path<T>(pub T);

/// The query of the request's URL, read as a form into a struct, a map, or a list of pairs such as
/// `Vec<(String, String)>`.
///
/// If a parameter is missing or wrong, the request is refused like for [`Path`]; in message
/// handlers the error is `invalid_query`. A query that is not UTF-8 is refused with 400 before the
/// upgrade, and so is such a path. [`Server::build`](crate::server::Server::build) reports a type
/// that no query string can fill, such as a single value.
///
/// ```
/// use aiows::{Query, connect};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Join {
///     name: String,
///     #[serde(default)]
///     history: u8,
/// }
///
/// #[connect]
/// async fn join(Query(join): Query<Join>) {
///     println!("{} joins and wants {} old messages", join.name, join.history);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query<T>(pub T);

/// The headers of the request, shared by all handlers of the connection.
///
/// A connection keeps the headers only if one of its handlers takes them.
///
/// ```
/// use aiows::extract::Headers;
/// use aiows::connect;
///
/// #[connect]
/// async fn arrive(headers: Headers) {
///     let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok());
///     println!("a client of kind {}", agent.unwrap_or("unknown"));
/// }
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    map: Arc<HeaderMap>,
}

/// The IP address of the client, which is the address of the other end of the socket.
///
/// If the server is behind a proxy, it is the address of the proxy.
///
/// A connection in memory or over a Unix socket has no address. Take `Option<ClientIp>` if you want
/// `None` in this case.
///
/// ```
/// use aiows::extract::ClientIp;
/// use aiows::message;
///
/// #[message("whoami")]
/// async fn whoami(ClientIp(ip): ClientIp) -> serde_json::Value {
///     serde_json::json!({ "type": "you", "ip": ip })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(pub IpAddr);

impl<T: DeserializeOwned> Path<T> {
    pub(crate) fn read(info: &RequestInfo) -> Result<Self, HandlerError> {
        let params = info.params.clone().ok_or_else(|| not_kept("Path"))?;
        params::read(params, true).map(Self).map_err(|field| {
            HandlerError::new(code::INVALID_PATH, "the path does not have the expected parameters")
                .with_fields(vec![field])
        })
    }
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromCall for Path<T> {
    fn from_call(call: &Call) -> Extraction<Self> {
        request(call, "Path").and_then(Self::read).into()
    }

    fn needs(needs: &mut Needs) {
        needs.path::<T>();
        needs.check(|info| Self::read(info).map(drop));
    }
}

impl<T: DeserializeOwned> Query<T> {
    pub(crate) fn read(info: &RequestInfo) -> Result<Self, HandlerError> {
        let query = info.query.as_deref().ok_or_else(|| not_kept("Query"))?;
        if !is_utf8(query) {
            let text = "the query is not percent-encoded UTF-8";
            return Err(HandlerError::new(code::INVALID_QUERY, text));
        }
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        params::read(pairs, false).map(Self).map_err(|field| {
            HandlerError::new(code::INVALID_QUERY, "the query does not have the expected fields")
                .with_fields(vec![field])
        })
    }
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromCall for Query<T> {
    fn from_call(call: &Call) -> Extraction<Self> {
        request(call, "Query").and_then(Self::read).into()
    }

    fn needs(needs: &mut Needs) {
        needs.query::<T>();
        needs.check(|info| Self::read(info).map(drop));
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Headers {
    fn from_call(call: &Call) -> Extraction<Self> {
        let map = request(call, "Headers").and_then(|info| {
            let map = info.headers.as_ref().map(Arc::clone);
            map.ok_or_else(|| not_kept("Headers"))
        });
        map.map(|map| Self { map }).into()
    }

    fn needs(needs: &mut Needs) {
        needs.push(Need::Headers);
    }
}

impl Deref for Headers {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.map
    }
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        Self { map: Arc::new(map) }
    }
}

// Header values may be secrets, so `Debug` prints only the names.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.map.keys()).finish()
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for ClientIp {
    fn from_call(call: &Call) -> Extraction<Self> {
        client_ip(call).ok_or("the connection has no IP address").into()
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Option<ClientIp> {
    fn from_call(call: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(client_ip(call)))
    }
}

fn client_ip(call: &Call) -> Option<ClientIp> {
    // A dual-stack socket shows an IPv4 client as an IPv4-mapped IPv6 address.
    call.websocket().peer_addr().map(|peer| ClientIp(peer.ip().to_canonical()))
}

pub(super) fn request<'a>(call: &'a Call, what: &str) -> Result<&'a RequestInfo, HandlerError> {
    call.websocket().request_info().ok_or_else(|| not_kept(what))
}

fn not_kept(what: &str) -> HandlerError {
    format!("the connection has not kept `{what}` of its request, declare it with `Route::needing`")
        .into()
}
