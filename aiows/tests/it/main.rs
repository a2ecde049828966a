//! Behaviour through the public interface and on the wire; one binary, because linking is slow.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

mod close;
mod door;
mod errors;
mod extract;
mod handlers;
mod life;
mod limits;
mod log;
mod protocol;
mod raw;
mod resources;
mod router;
mod stop;
