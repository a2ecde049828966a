use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::Walk;
use crate::message::BoundedVec;

/// How the fields of a type are called on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    pub(super) wire: fn(&str) -> Option<&'static str>,
    pub(super) nested: fn(&str) -> Option<Self>,
    /// The values stand in a map. validator counts its entries and does not tell their keys, so the
    /// path ends at the map.
    pub(super) in_map: bool,
}

impl Names {
    /// Combines the names of a type's own fields with the names of what its fields hold.
    #[must_use]
    pub const fn new(
        wire: fn(&str) -> Option<&'static str>,
        nested: fn(&str) -> Option<Self>,
    ) -> Self {
        Self { wire, nested, in_map: false }
    }
}

/// A type whose fields are called on the wire as serde's attributes say.
///
/// `#[derive(Message)]` implements it for messages, `#[derive(WireNames)]` for the types nested in
/// them, so that a failed validation names `homeAddress.zipCode` and not `home_address.zip_code`.
///
/// ```
/// use aiows::WireNames;
/// use serde::Deserialize;
/// use validator::Validate;
///
/// #[derive(WireNames, Deserialize, Validate)]
/// #[serde(rename_all = "camelCase")]
/// struct Address {
///     #[validate(length(min = 4))]
///     zip_code: String,
/// }
/// # let _ = <Address as WireNames>::names();
/// ```
#[diagnostic::on_unimplemented(
    message = "the wire names of `{Self}` are not known",
    note = "annotate `{Self}` with `#[derive(aiows::WireNames)]`"
)]
pub trait WireNames {
    /// Returns the names of the type's fields.
    fn names() -> Names;

    /// Shows the value to a walk, or the values in it.
    #[doc(hidden)]
    fn walk(&self, walk: &mut Walk) {
        walk.count();
    }
}

macro_rules! same_names_as_item {
    ($([$($generics:tt)*] $container:ty, $walk:expr;)*) => {
        $(impl<$($generics)*> WireNames for $container {
            fn names() -> Names {
                T::names()
            }

            fn walk(&self, walk: &mut Walk) {
                let walk_into: fn(&Self, &mut Walk) = $walk;
                walk_into(self, walk);
            }
        })*
    };
}

same_names_as_item! {
    [T: WireNames + ?Sized] Arc<T>, |value, walk| T::walk(value, walk);
    [T: WireNames + ?Sized] Box<T>, |value, walk| T::walk(value, walk);
    [T: WireNames + ?Sized] Rc<T>, |value, walk| T::walk(value, walk);
    [T: WireNames] Option<T>, |value, walk| value.iter().for_each(|value| value.walk(walk));
    [T: WireNames] Vec<T>, |values, walk| walk.items(values, T::walk);
    [T: WireNames] [T], |values, walk| walk.items(values, T::walk);
    [T: WireNames, const N: usize] [T; N], |values, walk| walk.items(values, T::walk);
    [T: WireNames, const N: usize] BoundedVec<T, N>, |values, walk| walk.items(values, T::walk);
    [T: WireNames] VecDeque<T>, |values, walk| walk.items(values, T::walk);
    [T: WireNames, S] HashSet<T, S>, |values, walk| walk.items(values, T::walk);
    [T: WireNames] BTreeSet<T>, |values, walk| walk.items(values, T::walk);
}

impl<K, T: WireNames, S> WireNames for HashMap<K, T, S> {
    fn names() -> Names {
        Names { in_map: true, ..T::names() }
    }

    fn walk(&self, walk: &mut Walk) {
        walk.values(self.values(), T::walk);
    }
}

impl<K, T: WireNames> WireNames for BTreeMap<K, T> {
    fn names() -> Names {
        Names { in_map: true, ..T::names() }
    }

    fn walk(&self, walk: &mut Walk) {
        walk.values(self.values(), T::walk);
    }
}
