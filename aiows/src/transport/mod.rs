//! Byte streams: plain TCP, or any other stream, chosen when a connection is accepted.

mod io;
#[cfg(feature = "axum")]
mod prefixed;
mod tcp;
#[cfg(feature = "axum")]
mod write_timeout;

pub(crate) use self::io::{Hangup, HangupInterest, Io, Stream, StreamPanicked, TcpWriter};
#[cfg(feature = "axum")]
pub(crate) use self::prefixed::Prefixed;
pub(crate) use self::tcp::tune;
#[cfg(feature = "axum")]
pub(crate) use self::write_timeout::WriteTimeout;
