//! aiows is a WebSocket framework for typed, validated JSON messages.
//!
//! You write one async function per message type. aiows decodes and validates each message, calls
//! the function and sends the return value as the answer. It also manages the connection: the
//! handshake, timeouts, pings, backpressure, rooms and a graceful shutdown.
//!
//! # High-level features
//!
//! - One Rust type is the route, the validation and the wire format of a message.
//! - A malformed handler does not compile, and the compile error shows what to write instead.
//! - If a message is invalid, the client receives an error that names the field. Clients never see
//!   internal errors.
//! - Timeouts, limits on memory, an origin check and a graceful shutdown are on by default.
//! - A message to a room is encoded once, and a slow client does not delay the other members.
//! - Handlers stay functions that a test can call, and a test server runs in memory with paused
//!   time.
//!
//! # Example
//!
//! ```no_run
//! # #[cfg(all(feature = "macros", feature = "validator"))]
//! # mod example {
//! use aiows::{
//!     DisconnectReason, Error, Message, Router, Server, WebSocket, connect, disconnect, message,
//!     routes,
//! };
//! use serde::{Deserialize, Serialize};
//! use validator::Validate;
//!
//! #[derive(Message, Serialize)]
//! struct Welcome {
//!     message: String,
//! }
//!
//! #[derive(Message, Deserialize, Serialize, Validate)]
//! struct Chat {
//!     #[validate(length(min = 1, max = 500))]
//!     text: String,
//!     user_id: u32,
//! }
//!
//! #[derive(Message, Serialize)]
//! struct ChatResponse {
//!     echo: Chat,
//! }
//!
//! #[connect]
//! async fn on_connect() -> Welcome {
//!     Welcome { message: "Connected!".into() }
//! }
//!
//! #[message("chat")]
//! async fn on_chat(chat: Chat) -> ChatResponse {
//!     ChatResponse { echo: chat }
//! }
//!
//! #[disconnect]
//! async fn on_disconnect(ws: WebSocket, reason: DisconnectReason) {
//!     println!("{} left: {reason}", ws.id());
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let router = Router::new().routes(routes![on_connect, on_chat, on_disconnect]);
//!     Server::new().include_router(router).run("127.0.0.1:8000").await
//! }
//! # }
//! # fn main() {}
//! ```
//!
//! A client sends `{"type":"chat","id":1,"text":"hi","user_id":7}` and receives
//! `{"type":"chat_response","correlation_id":1,"echo":{"text":"hi","user_id":7}}`.
//!
//! If you are new to aiows, [Getting started](crate::guide::getting_started) builds a chat step by
//! step.
//!
//! # Handlers
//!
//! A handler is a free `async fn` with one of four attributes:
//!
//! | attribute | the handler runs |
//! |---|---|
//! | [`#[connect]`][`connect`] | for each new connection, before its first message |
//! | [`#[message("type")]`][`message`] | for each message of this type |
//! | [`#[fallback]`][`fallback`] | for each message that no other handler serves |
//! | [`#[disconnect]`][`disconnect`] | once, when a connection has ended |
//!
//! It returns `()`, a message, a `serde_json::Value`, or an `Option` or a `Result` of these. The
//! messages of a connection are handled one at a time, in order.
//!
//! [`routes!`] lists handlers, a [`Router`] collects them, and a [`Server`] serves one router or
//! [one per path](Server::route). Without the attributes you build the same handlers with
//! [`routing::Route`].
//!
//! See [Handlers](crate::guide::handlers) for more details, and [Compile
//! errors](crate::guide::mistakes) if a handler does not compile.
//!
//! # Messages
//!
//! A message is one JSON object in one frame, and its `type` selects the handler.
//! [`#[derive(Message)]`][`Message`] names the type after the struct. If a field has a rule
//! (`#[validate(..)]`), the message is checked before the handler runs. If a message has an `id`,
//! it is a request and receives exactly one answer with this id: the return value of the handler,
//! an acknowledgement or an error.
//!
//! See [Messages and validation](crate::guide::messages) for more details.
//!
//! # Extractors
//!
//! Each argument of a handler is an *extractor*, a type that implements [`extract::FromCall`]:
//!
//! ```
//! # #[cfg(feature = "macros")]
//! # mod example {
//! use aiows::{HandlerError, Local, Message, Result, State, message};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone)]
//! struct Max(usize);
//!
//! #[derive(Default)]
//! struct Notes(Vec<String>);
//!
//! #[derive(Message, Deserialize)]
//! struct Note {
//!     text: String,
//! }
//!
//! #[derive(Message, Serialize)]
//! struct NoteAdded {
//!     number: usize,
//! }
//!
//! // The message itself is the last argument.
//! #[message("note")]
//! async fn add(State(max): State<Max>, mut notes: Local<Notes>, note: Note) -> Result<NoteAdded> {
//!     if notes.0.len() == max.0 {
//!         return Err(HandlerError::new("notes_full", "there is no room for more notes"));
//!     }
//!     notes.0.push(note.text);
//!     Ok(NoteAdded { number: notes.0.len() })
//! }
//! # }
//! ```
//!
//! These extractors give access to values of yours:
//!
//! | extractor | value |
//! |---|---|
//! | [`State<T>`](State) | a value of the server or of a router, shared by all connections |
//! | [`Local<T>`](Local) | exclusive access to a value of this connection |
//! | [`Context<T>`](Context) | a value of this connection that other tasks may change, or that middleware set during the handshake |
//! | [`Path<T>`](Path), [`Query<T>`](Query) | the parameters of the path and the query of the upgrade request |
//!
//! See [`extract`] for all extractors, and [the guide](crate::guide::handlers#your-own-extractors)
//! if you want to write one.
//!
//! # Sending
//!
//! The extractor [`WebSocket`] is a handle to the connection, which you can clone and move to other
//! tasks:
//!
//! | method | effect |
//! |---|---|
//! | [`send`](WebSocket::send) | queues a message, and waits for room if the queue is full |
//! | [`try_send`](WebSocket::try_send) | queues a message, or fails if the queue is full |
//! | [`request`](WebSocket::request) | sends a message and waits for the answer of the client |
//! | [`reply`](WebSocket::reply) | answers a request before the handler returns |
//! | [`spawn`](WebSocket::spawn) | runs a task that ends with the connection |
//! | [`close`](WebSocket::close) | closes the connection after the queued messages |
//!
//! # Errors
//!
//! A handler may return a [`Result`]. [`HandlerError::new`] makes an error that the client sees,
//! with a code of yours. `?` turns any other error into an internal one: the client receives the
//! code `internal` and an `error_id`, and the log has the cause under this id. A panic in a handler
//! is handled the same way. An error does not close the connection unless you give it a [close
//! code](HandlerError::close), or a connect handler returns it.
//!
//! See [Errors](crate::guide::errors) for more details, and for all codes that aiows sends.
//!
//! # Rooms and users
//!
//! A [`WebSocket`] joins rooms, and a [`Hub`] sends to rooms, users and all connections:
//!
//! ```
//! # #[cfg(feature = "macros")]
//! # mod example {
//! use aiows::{Message, Result, WebSocket, message};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Message, Deserialize)]
//! struct Join {
//!     room: String,
//! }
//!
//! #[derive(Message, Deserialize, Serialize)]
//! struct Say {
//!     room: String,
//!     text: String,
//! }
//!
//! #[message("join")]
//! async fn join(ws: WebSocket, join: Join) -> Result {
//!     ws.join(&join.room).await?;
//!     Ok(())
//! }
//!
//! #[message("say")]
//! async fn say(ws: WebSocket, say: Say) -> Result {
//!     ws.to(&say.room).send(&say).await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! See [Rooms and users](crate::guide::rooms) for more details, and [Slow
//! clients](crate::guide::slow_clients) for the policies that apply if a client does not read fast
//! enough.
//!
//! # Middleware
//!
//! A [`middleware::Middleware`] runs around the handlers of a server or of a router. It can refuse
//! a handshake with an HTTP status, change messages and errors, or answer in place of a handler. A
//! method that you do not override has no cost.
//!
//! See [Middleware](crate::guide::middleware) for more details.
//!
//! # Serving
//!
//! [`Server::run`] binds an address and serves until the process receives SIGINT or SIGTERM.
//! [`Server::serve`] accepts a listener of yours, TCP or a Unix socket, and [`App::serve_stream`]
//! any byte stream. If you enable the feature `axum`, the routes of an axum application answer the
//! other requests on the same port, and a server can become a route of an axum application; see
//! [HTTP and axum](crate::guide::http).
//!
//! [`Limits`] has every limit and timeout with its default. See [Connections and
//! closing](crate::guide::closing) for close codes, origins, shutdown and proxies.
//!
//! # Testing
//!
//! An attribute leaves its function unchanged, so you can call a handler in a test. The module
//! [`testing`] makes its arguments, and its `TestServer` runs a whole server in memory:
//!
//! ```
//! # #[cfg(all(feature = "macros", feature = "test-util"))]
//! # mod example {
//! use aiows::testing::TestServer;
//! use aiows::{Message, Router, message, routes};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
//! struct Echo {
//!     text: String,
//! }
//!
//! #[message("echo")]
//! async fn echo(echo: Echo) -> Echo {
//!     echo
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() {
//! assert_eq!(echo(Echo { text: "hi".into() }).await, Echo { text: "hi".into() });
//!
//! let server = TestServer::new(Router::new().routes(routes![echo]));
//! let mut client = server.connect().await;
//! client.send(&Echo { text: "hi".into() }).await;
//! assert_eq!(client.recv::<Echo>().await, Echo { text: "hi".into() });
//! # }
//! # }
//! # fn main() {
//! #     #[cfg(all(feature = "macros", feature = "test-util"))]
//! #     example::main();
//! # }
//! ```
//!
//! See [Testing](crate::guide::testing) for more details.
//!
//! # Guide
//!
//! The [guide] has a chapter on each of these subjects. The programs in it run as tests.
//!
//! # Required dependencies
//!
//! Messages are types of [serde](https://docs.rs/serde), and the server runs on
//! [tokio](https://docs.rs/tokio). If a field of a message has a rule, you also need
//! [validator](https://docs.rs/validator):
//!
//! ```toml
//! [dependencies]
//! aiows = "0.1"
//! serde = { version = "1", features = ["derive"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! validator = { version = "0.21", features = ["derive"] }
//! ```
//!
//! # Compatibility
//!
//! aiows needs Rust 1.88 or newer. It is tested on Linux and is expected to work on macOS and
//! Windows. On systems other than Linux and Android, a client that disconnects while a handler runs
//! is noticed later: when the handler has returned, or by [`Limits::ping_timeout`].
//!
//! Rooms and users belong to one process. TLS, the compression of messages, rate limits and
//! built-in authentication are not available yet.
//!
//! # Cargo features
//!
//! | feature | default | enables |
//! |---|---|---|
//! | `macros` | yes | the attributes, the derives and [`routes!`] |
//! | `validator` | yes | `#[validate(..)]` on the fields of messages |
//! | `axum` | no | HTTP routes of an axum application on the same port, and a server as a route of one |
//! | `test-util` | no | the module [`testing`]; enable it under `[dev-dependencies]` |
//!
// Links to items of a feature lead to the list of features where it is off.
#![cfg_attr(
    feature = "macros",
    doc = "
[`connect`]: macro@connect
[`message`]: macro@message
[`fallback`]: macro@fallback
[`disconnect`]: macro@disconnect
[`routes!`]: macro@routes
[`Message`]: derive@Message"
)]
#![cfg_attr(
    not(feature = "macros"),
    doc = "
[`connect`]: #cargo-features
[`message`]: #cargo-features
[`fallback`]: #cargo-features
[`disconnect`]: #cargo-features
[`routes!`]: #cargo-features
[`Message`]: trait@Message"
)]
#![cfg_attr(not(feature = "test-util"), doc = "\n[`testing`]: #cargo-features")]
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

// One call of a handler, and the arguments that it extracts.
pub mod extract;

// One handler, erased.
mod handler;

// The life of a server: its handle, its stop and the signals.
mod shutdown;

// Code around handlers and handshakes.
pub mod middleware;

// Collects handlers, checks them and compiles them for a server.
mod router;

// One connection, from the 101 to its disconnect handlers.
mod session;

// Decides about connections, from an accepted stream to the 101 or a refusal.
mod admission;

// Builds a server, accepts connections and serves them.
pub mod server;

#[cfg(feature = "test-util")]
pub mod testing;

pub mod guide;

/// Makes an `async fn` a handler of new connections.
///
/// The message that it returns is sent to the client. If it fails, the connection is closed and no
/// message is handled. The close code is that of the error; an error without one closes with 1008
/// if it is visible and with 1011 otherwise. If there are several connect handlers, they run in the
/// order of their registration.
///
/// Handlers are free functions, because an attribute cannot see whether it is inside an `impl`
/// block.
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
/// Makes an `async fn` a handler that runs when a connection has ended.
///
/// It runs exactly once for each connection that was admitted, which means that all its connect
/// handlers succeeded. `#[disconnect(always)]` also runs for the other connections, with
/// [`DisconnectReason::ConnectFailed`] if a connect handler failed. Each disconnect handler may
/// take [`Limits::disconnect_timeout`]. It cannot send to its client any more.
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
/// Makes an `async fn` the handler of all messages that no other handler serves.
///
/// If it takes [`Text`], [`Bytes`] or [`extract::Frame`], it is a relay: it receives each frame
/// that is not a message of another handler, as it was sent. The frames of a relay are not
/// acknowledged, and its errors close the connection.
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
/// The last argument may be the message itself. All other arguments are [extractors](extract). The
/// attribute does not change the function, so you can call it.
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
/// Adds `pub fn router() -> Router` to an inline module, which returns a [`Router`] of its
/// handlers.
///
/// The router has the functions that are directly in the module and carry `#[connect]`,
/// `#[message("..")]`, `#[disconnect]` or `#[fallback]`, in source order. A `#[cfg(..)]` on a
/// function applies to its entry, too. If the module has two handlers for one message type, it does
/// not compile. Functions that a macro call expands to are not included. Neither are those of
/// nested modules, which may have a `#[router]` of their own. If you have renamed this crate, name
/// it with `crate = path`.
///
/// The module must be inline, as in `mod chat { .. }`, because an attribute cannot see into the
/// file of `mod chat;`. In such a file, write the function by hand:
/// `Router::new().routes(routes![..])`.
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

/// Messages: the traits that `#[derive(Message)]` implements, and types for fields and counts.
pub mod messages {
    /// Derives [`Message`](trait@Message), with the name of the struct in snake case as message
    /// type.
    ///
    /// | attribute of the struct | effect |
    /// |---|---|
    /// | `#[aiows(type = "room.join")]` | sets another message type |
    /// | `#[aiows(delivery = "..")]` | selects what happens to a message if its client does not read |
    /// | `#[aiows(crate = path)]` | names this crate if you have renamed it |
    ///
    /// `delivery` is one of
    ///
    /// - `"disconnect"`, `"drop_newest"` or `"reject"`, as in [`Overflow`],
    /// - `"drop_oldest"`, which drops only messages of the same type,
    /// - `"latest"`, which replaces an unsent message of the same type. With `key = "field"`, it
    ///   replaces only a message that has the same value in this field.
    ///
    /// The chapter [Slow clients](crate::guide::slow_clients) describes these policies.
    ///
    /// If a field has `#[validate(..)]`, the struct must also derive `validator::Validate`, and
    /// each received message is checked.
    ///
    /// A field must not be called `type`, `id` or `correlation_id` on the wire. The derive refuses
    /// such a field. The fields of a flattened or wrapped value are checked when the server is
    /// built, if it receives the message, and when the message is sent.
    #[cfg(feature = "macros")]
    pub use aiows_macros::Message;
    /// Derives the trait `WireNames` for a struct that is a field of a validated message.
    #[cfg(feature = "macros")]
    pub use aiows_macros::WireNames;

    pub use crate::limits::Overflow;
    #[cfg(feature = "validator")]
    pub use crate::message::WireNames;
    pub use crate::message::{BoundedVec, Incoming, Message, Outgoing, RawMessage};
    pub use crate::outbox::Outbound;
}

/// Routers, routes, and the values that handlers return.
pub mod routing {
    pub use crate::handler::{IntoOutcome, Outcome, Route, Routes};
    pub use crate::router::Router;
}

/// Lists handlers for [`Router::routes`].
///
/// Each entry is the path of a function that carries `#[connect]`, `#[message("..")]`,
/// `#[disconnect]` or `#[fallback]`. An entry may have a `#[cfg(..)]`. If a list has two handlers
/// for one message type, it does not compile.
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

// The programs of the README are documentation tests of this crate.
#[cfg(all(doctest, feature = "macros", feature = "validator"))]
#[doc = include_str!("../README.md")]
mod readme {}

/// Used by the code that the macros generate; not part of the public interface.
#[doc(hidden)]
pub mod __private;
