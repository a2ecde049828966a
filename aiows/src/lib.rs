// The README is the front page of the documentation, and its Rust blocks are tests of this crate.
#![cfg_attr(all(feature = "macros", feature = "validator"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "macros", feature = "validator")),
    doc = "A WebSocket framework: annotated async functions, typed and validated messages."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
mod close;
mod codec;
mod error;
mod extract;
mod hub;
mod id;
mod limits;
mod message;
mod outbox;
mod outcome;
mod route;
mod router;
mod server;
mod session;
mod state;
#[cfg(feature = "test-util")]
pub mod testing;
mod transport;
mod websocket;

#[cfg(feature = "macros")]
pub use aiows_macros::{Message, WireNames, connect, disconnect, fallback, message};
pub use bytes::Bytes;
#[cfg(feature = "validator")]
pub use validator;

pub use self::call::Call;
pub use self::close::{CloseCode, DisconnectReason};
pub use self::error::{Error, FieldError, HandlerError, Result, SendError};
pub use self::extract::{Context, Extraction, FromCall, Local, Needs, State, Text};
pub use self::id::{ConnectionId, MessageId};
pub use self::limits::Limits;
#[cfg(feature = "validator")]
pub use self::message::WireNames;
pub use self::message::{Incoming, Message, Outgoing, RawMessage};
pub use self::outcome::{IntoOutcome, Outcome};
pub use self::route::{Route, Routes};
pub use self::router::Router;
pub use self::server::{App, Server, ServerHandle, Stats};
pub use self::websocket::{ContextMap, WebSocket};

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
