//! Behaviour through the public interface and on the wire; one binary, because linking is slow.

mod close;
mod door;
mod errors;
mod extract;
mod handlers;
mod life;
mod limits;
mod protocol;
mod raw;
mod router;
mod stop;
