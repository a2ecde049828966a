//! Byte streams: plain TCP, chosen when a connection is accepted, or any other stream.

#[cfg(feature = "axum")]
mod body_timeout;
mod io;
mod listener;
#[cfg(feature = "axum")]
mod prefixed;
mod tcp;
#[cfg(feature = "axum")]
mod write_timeout;

#[cfg(feature = "axum")]
pub(crate) use self::body_timeout::BodyTimeout;
pub(crate) use self::io::{Awaited, Departure, Io, Stream, StreamPanicked, TcpWriter};
pub(crate) use self::listener::Accepted;
pub use self::listener::Listener;
#[cfg(feature = "axum")]
pub(crate) use self::prefixed::Prefixed;
#[cfg(feature = "axum")]
pub(crate) use self::tcp::tune;
#[cfg(feature = "axum")]
pub(crate) use self::write_timeout::WriteTimeout;
