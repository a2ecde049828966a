//! The HTTP upgrade request and its answers. Source: RFC 6455 section 4.
//!
//! Requests arrive as bytes, which `request` parses, or in the types of the `http` crate, from
//! hyper. Both become a [`Request`], which the checks read. A check that fails
//! returns a [`Refusal`].

#[cfg(feature = "axum")]
mod header_case; // header names in the case that their RFCs use
#[cfg(feature = "axum")]
mod http; // requests and answers in the types of the `http` crate
mod info; // the parts of a request that a connection keeps
mod origin; // which pages may connect
mod refusal; // answers that refuse a request
mod request; // reads and parses a request
mod subprotocol; // chooses a subprotocol
mod switching_protocols; // checks an upgrade request and makes the 101
mod target; // the target in the request line

#[cfg(feature = "axum")]
pub(crate) use self::http::{refused, view};
pub(crate) use self::info::{RequestInfo, decode_params, is_utf8};
pub(crate) use self::origin::Origins;
pub(crate) use self::refusal::Refusal;
#[cfg(feature = "axum")]
pub(crate) use self::request::MAX_HEADERS;
pub(crate) use self::request::{Request, RequestHead, read_request_head};
pub(crate) use self::subprotocol::Subprotocols;
#[cfg(feature = "axum")]
pub(crate) use self::switching_protocols::is_websocket_request;
pub(crate) use self::switching_protocols::{SwitchingProtocols, accept_upgrade};
