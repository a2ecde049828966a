//! The names that the macros expand to. They are not part of the public interface.

#[cfg(feature = "macros")]
pub use aiows_macros::routes_list;

pub use crate::extract::argument::{Arg, Last, Receive, Take, arg, last};
pub use crate::extract::serving::{Declares, Extractor, Payload, Serves, Serving, serving};
pub use crate::handler::{
    BoxFuture, Handler, HandlerMeta, Key, assert_unique, boxed, meta, outcome, route, routes,
};
pub use crate::limits::{CoalesceKey, Kind, KindOf, Overflow, Rule};
#[cfg(feature = "validator")]
pub use crate::message::{
    ListSize, Names, Validated, ViaInnerHeld, ViaInnerHeldRules, ViaInnerMessage, ViaInnerNamed,
    ViaInnerRules, ViaItems, ViaKeys, ViaList, ViaNames, ViaNoCheck, ViaNoInner, ViaNoKeys,
    ViaNoList, ViaNoWalk, ViaNotRuled, ViaNothing, ViaRuled, ViaRuledHeld, ViaRuledNames,
    ViaUnordered, ViaValidated, ViaWalk, Walk, WireNames, field_errors, validated,
    validated_in_parts,
};
pub use crate::message::{Probe, ReadKeys, ViaNoReads, ViaReads, Visitor, visit};
