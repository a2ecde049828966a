// The README is the front page of the documentation, and its Rust blocks are tests of this crate.
#![cfg_attr(
    all(feature = "axum", feature = "macros", feature = "validator"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(feature = "axum", feature = "macros", feature = "validator")),
    doc = "A WebSocket framework: annotated async functions, typed and validated messages."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The floors of the crate, from the ground up: a module imports only modules above it in this list.
// Enforced by `tests/layering.rs`.

// Close codes and the reasons for which a connection ends.
mod close;

// Identifiers of connections and messages.
mod id;

// Sizes, counts, deadlines and overflow policies, as plain values.
mod limits;

// Values shared by all handlers of a server.
mod state;

// Errors, as handlers return them and as clients see them.
pub mod error;

// Byte streams: plain TCP, or any other stream.
mod transport;

// The frames of one connection (RFC 6455).
mod protocol;

// JSON: the head of a message, its payload, answers.
mod codec;

// Typed messages and their validation.
mod message;

// The HTTP upgrade request and its answers.
mod handshake;

// The bounded queue of one connection, and the only writer of its frames.
mod outbox;

// The handle of one connection.
pub mod websocket;

// Rooms, users and messages to many clients.
pub mod hub;

// One call of a handler, and what a handler extracts from it.
pub mod extract;

// One handler, erased.
mod handler;

// Code around handlers and handshakes.
pub mod middleware;

// Collects handlers, checks them and compiles them for a server.
mod router;

// One connection, from the 101 to its disconnect handlers.
mod session;

// Builds a server, accepts connections, stops.
pub mod server;

#[cfg(feature = "test-util")]
pub mod testing;

pub mod guide;

/// Makes an `async fn` a handler of new connections.
///
/// What it returns is sent first. If it fails, the connection is closed with the close code of the
/// error, else with 1008 for a visible error and 1011 for any other, and no message is handled. Several run in the order of their registration. Handlers
/// are free functions: an attribute cannot see that it stands in an `impl` block.
///
/// ```
/// use aiows::{Message, WebSocket, connect};
/// use serde::Serialize;
///
/// #[derive(Message, Serialize)]
/// struct Welcome {
///     you_are: String,
/// }
///
/// #[connect]
/// async fn greet(ws: WebSocket) -> Welcome {
///     Welcome { you_are: ws.id().to_string() }
/// }
/// ```
#[cfg(feature = "macros")]
pub use aiows_macros::connect;
/// Makes an `async fn` a handler of the end of connections.
///
/// It runs exactly once for every connection that was admitted: all its connect handlers have
/// succeeded. With `#[disconnect(always)]` it runs for the others, too, with
/// [`DisconnectReason::ConnectFailed`] if a connect handler has failed. Each has the time of
/// [`Limits::disconnect_timeout`]; nothing can be sent any more.
///
/// ```
/// use aiows::{DisconnectReason, WebSocket, disconnect};
///
/// #[disconnect]
/// async fn leave(ws: WebSocket, reason: DisconnectReason) {
///     println!("{} left: {reason}", ws.id());
/// }
/// ```
#[cfg(feature = "macros")]
pub use aiows_macros::disconnect;
/// Makes an `async fn` the handler of every message no other handler serves.
///
/// One that takes [`Text`], [`Bytes`] or [`Frame`] is a relay: it gets every frame that is no message of
/// another handler as it was sent, nothing is acknowledged, and its errors close the connection.
///
/// ```
/// use aiows::{Result, Text, WebSocket, fallback};
///
/// #[fallback]
/// async fn relay(ws: WebSocket, Text(text): Text) -> Result {
///     ws.send_text(&text).await?;
///     Ok(())
/// }
/// ```
#[cfg(feature = "macros")]
pub use aiows_macros::fallback;
/// Makes an `async fn` the handler of one message type.
///
/// The last argument may be the message itself; all others, and that one too if you like, are
/// extractors. The function stays as it is and can be called.
///
/// ```
/// use aiows::{Message, WebSocket, message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Deserialize, Serialize)]
/// struct Chat {
///     text: String,
/// }
///
/// #[message("chat")]
/// async fn chat(ws: WebSocket, chat: Chat) -> Chat {
///     println!("{} says {}", ws.id(), chat.text);
///     chat
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (ws, _sent) = aiows::testing::socket();
/// assert_eq!(chat(ws, Chat { text: "hi".into() }).await.text, "hi");
/// # }
/// ```
#[cfg(feature = "macros")]
pub use aiows_macros::message;
/// Adds `pub fn router() -> Router` to an inline module: a [`Router`] of the handlers in it.
///
/// It lists what stands directly in the module and carries `#[connect]`, `#[message("..")]`,
/// `#[disconnect]` or `#[fallback]`, in the order of the text and with its `#[cfg(..)]`. Two handlers of
/// one message type in a module do not compile. Not listed is what a macro call expands to, and what
/// stands in a module within, which may have its own `#[router]`. `crate = path` names this crate when
/// it is renamed.
///
/// The module has to be `mod chat { .. }`: an attribute cannot see into the file of `mod chat;`. There
/// write the function by hand, as `Router::new().routes(routes![..])`.
///
/// ```
/// use aiows::{Router, router};
///
/// #[router]
/// mod chat {
///     use aiows::message;
///     use serde_json::{Value, json};
///
///     #[message("ping")]
///     pub async fn ping() -> Value {
///         json!({ "type": "pong" })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = aiows::testing::TestServer::new(Router::new().include(chat::router()));
/// let mut client = server.connect().await;
/// client.send_text(r#"{"type":"ping"}"#).await;
/// assert_eq!(client.recv_text().await, r#"{"type":"pong"}"#);
/// assert_eq!(chat::ping().await["type"], "pong");
/// # }
/// ```
#[cfg(feature = "macros")]
pub use aiows_macros::router;
#[doc(no_inline)]
pub use bytes::Bytes;
#[doc(no_inline)]
pub use http::HeaderMap;
#[cfg(feature = "validator")]
pub use validator;

#[doc(no_inline)]
pub use self::error::{Error, HandlerError, Result};
#[doc(no_inline)]
pub use self::extract::{Context, Local, Path, Query, State, Text};
#[doc(no_inline)]
pub use self::hub::Hub;
#[cfg(any(feature = "macros", feature = "validator"))]
#[doc(no_inline)]
pub use self::messages::WireNames;
#[doc(no_inline)]
pub use self::messages::{Message, RawMessage};
#[doc(no_inline)]
pub use self::routing::Router;
#[doc(no_inline)]
pub use self::server::{App, Limits, Server, ServerHandle};
#[doc(no_inline)]
pub use self::websocket::{CloseCode, ConnectionId, DisconnectReason, MessageId, WebSocket};

// Until every program names them by their modules.
#[doc(hidden)]
#[cfg(feature = "axum")]
pub use self::server::{JsonBody, WebSocketService};
#[doc(hidden)]
pub use self::{
    error::{FieldError, RequestError, SendError},
    extract::{Call, ClientIp, Extension, Extraction, Frame, FromCall, Headers, Needs},
    hub::{Delivery, Recipients},
    messages::{BoundedVec, Incoming, Outbound, Outgoing, Overflow},
    middleware::{Handshake, Middleware, Next},
    routing::{IntoOutcome, Outcome, Route, Routes},
    server::{Listener, RouteLimits, Shutdown, Stats},
    websocket::{ContextMap, Departure, Joined, Left, UserChange},
};

/// The messages of an application: the traits behind `#[derive(Message)]`, and types for fields.
pub mod messages {
    /// Derives [`Message`](trait@Message): the message type is the struct's name in snake case.
    ///
    /// `#[aiows(type = "room.join")]` names it otherwise, `#[aiows(crate = path)]` names this crate when it
    /// is renamed. `#[aiows(delivery = "..")]` says what happens to a message whose peer does not read:
    /// `"disconnect"`, `"drop_newest"`, `"drop_oldest"`, which drops its own type only, or `"reject"` as in
    /// [`Overflow`], or `"latest"`, with which it replaces an unsent message of its type and, with
    /// `key = "field"`, of the same value there; the guide has a chapter on it, *Slow clients*. Where a field has `#[validate(..)]`, the struct also derives `validator::Validate`, and
    /// every message that is received is checked. Fields called `type`, `id` or `correlation_id` on the
    /// wire are refused. Those of a flattened or wrapped value are refused when the server is built, if it
    /// receives the message, and when the message is sent.
    #[cfg(feature = "macros")]
    pub use aiows_macros::Message;
    /// Derives [`WireNames`](trait@WireNames) for a struct that is nested in a validated message.
    #[cfg(feature = "macros")]
    pub use aiows_macros::WireNames;

    pub use crate::limits::Overflow;
    #[cfg(feature = "validator")]
    pub use crate::message::WireNames;
    pub use crate::message::{BoundedVec, Incoming, Message, Outgoing, RawMessage};
    pub use crate::outbox::Outbound;
}

/// Routers, routes, and what handlers return.
pub mod routing {
    pub use crate::handler::{IntoOutcome, Outcome, Route, Routes};
    pub use crate::router::Router;
}

/// Lists handlers for [`Router::routes`].
///
/// Entries are names of functions that carry `#[connect]`, `#[message("..")]`, `#[disconnect]` or
/// `#[fallback]`, with their paths; `#[cfg(..)]` may stand on an entry. Two handlers of one message
/// type in a list do not compile.
///
/// ```
/// use aiows::{Router, message, routes};
///
/// mod chat {
///     #[aiows::message("say")]
///     pub async fn say() {}
/// }
///
/// #[message("ping")]
/// async fn ping() {}
///
/// let router = Router::new().routes(routes![ping, chat::say]);
/// # let _: Router = router;
/// ```
#[cfg(feature = "macros")]
#[macro_export]
macro_rules! routes {
    ($($entries:tt)*) => {
        $crate::__private::routes_list! { ($crate) $($entries)* }
    };
}

/// What the macros expand to; no part of the interface.
#[doc(hidden)]
pub mod __private;
