//! Byte streams: plain TCP, or any other stream, chosen when a connection is accepted.

#[cfg(feature = "axum")]
mod body_timeout; // a request body with a timeout
mod io; // the stream of one connection
mod listener; // accepts streams
#[cfg(feature = "axum")]
mod prefixed; // a stream with bytes in front
mod tcp; // options of TCP sockets
#[cfg(feature = "axum")]
mod write_timeout; // a stream with a timeout for writes

#[cfg(feature = "axum")]
pub(crate) use self::body_timeout::BodyTimeout;
pub(crate) use self::io::{
    Hangup, HangupInterest, Io, Stream, StreamPanicked, TcpWriter, Transport,
};
pub(crate) use self::listener::Accepted;
pub use self::listener::Listener;
#[cfg(feature = "axum")]
pub(crate) use self::prefixed::Prefixed;
#[cfg(feature = "axum")]
pub(crate) use self::tcp::tune;
#[cfg(feature = "axum")]
pub(crate) use self::write_timeout::WriteTimeout;
