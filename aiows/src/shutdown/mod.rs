//! The life of a server from its build to its end, and the handle that stops it.

mod drain;
mod handle;
mod lifecycle;
mod permits;
mod signals;

pub(crate) use self::drain::StopOnDrop;
pub(crate) use self::handle::Owner;
pub use self::handle::{ServerHandle, Shutdown, Stats};
pub(crate) use self::lifecycle::Ending;
pub(crate) use self::permits::Place;
pub(crate) use self::signals::SignalTask;
