//! The names the macros expand to.

#[cfg(feature = "macros")]
pub use aiows_macros::routes_list;

pub use crate::extract::{
    Arg, Declares, Extractor, Last, Payload, Receive, Serves, Serving, Take, arg, last, serving,
};
#[cfg(feature = "validator")]
pub use crate::message::{Names, Probe, Validated, ViaNames, ViaNothing, WireNames, validated};
pub use crate::message::{Visitor, visit};
pub use crate::route::{
    BoxFuture, Handler, HandlerMeta, Key, assert_unique, boxed, meta, outcome, route, routes,
};
