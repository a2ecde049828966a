//! Byte streams: plain TCP, chosen when a connection is accepted, or any other stream.

mod io;
mod listener;
#[cfg(feature = "axum")]
mod prefixed;
mod tcp;
#[cfg(feature = "axum")]
mod write_timeout;

pub(crate) use self::io::{Awaited, Departure, Io, Stream, StreamPanicked, TcpWriter};
pub use self::listener::Listener;
#[cfg(feature = "axum")]
pub(crate) use self::prefixed::Prefixed;
pub(crate) use self::tcp::tune;
#[cfg(feature = "axum")]
pub(crate) use self::write_timeout::WriteTimeout;
