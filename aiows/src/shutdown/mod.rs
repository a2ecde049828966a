//! The life of a server from its build to its end, and the handle that stops it.
//!
//! - `handle.rs`: [`ServerHandle`], [`Stats`], and [`Shutdown`], the future of a stop
//! - `owner.rs`: values that stop the server when they are dropped
//! - `drain.rs`: the task that closes the connections of a stopping server
//! - `signals/`: stops the server at SIGINT and SIGTERM
//! - `shared.rs`: the state that the handles and the drain task share
//! - `lifecycle.rs`: the phase of the server, which tasks can wait on
//! - `permits.rs`: the count of connections, which the drain task waits on

mod drain;
mod handle;
mod lifecycle;
mod owner;
mod permits;
mod shared;
mod signals;

pub use self::handle::{ServerHandle, Shutdown, Stats};
pub(crate) use self::lifecycle::Ending;
pub(crate) use self::owner::{Owner, StopOnDrop};
pub(crate) use self::permits::{ConnectionPermit, NoPermit};
pub(crate) use self::signals::SignalTask;
