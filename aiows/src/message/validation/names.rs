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
    /// The code of the rule `must_match` of a field; `None` where the rules are not known.
    pub(super) matched: Option<fn(&str) -> Option<&'static str>>,
    /// The containers around the type whose items have no place on the wire, maps and sets, one bit
    /// for each, that of the outermost the lowest.
    unordered: u32,
}

impl Names {
    /// Combines the names of a type's own fields with the names of what its fields hold.
    #[must_use]
    pub const fn new(
        wire: fn(&str) -> Option<&'static str>,
        nested: fn(&str) -> Option<Self>,
    ) -> Self {
        Self { wire, nested, matched: Some(|_| None), unordered: 0 }
    }

    /// Adds which fields have a rule `must_match`, and with which code.
    #[must_use]
    pub const fn with_matched(self, matched: fn(&str) -> Option<&'static str>) -> Self {
        Self { matched: Some(matched), ..self }
    }

    /// Knows nothing but which containers are around a type.
    pub(super) const fn unknown(unordered: u32) -> Self {
        Self { wire: |_| None, nested: |_| None, matched: None, unordered }
    }

    /// The names of the items of a list are its own.
    const fn in_list(self) -> Self {
        Self { unordered: self.unordered << 1, ..self }
    }

    /// As those of the values of a map or of a set.
    const fn in_map(self) -> Self {
        Self { unordered: self.unordered << 1 | 1, ..self }
    }

    /// Whether the items of the outermost container have places.
    pub(super) fn have_places(self) -> bool {
        self.unordered & 1 == 0
    }

    /// The names of what is in the outermost container.
    pub(super) fn of_items(self) -> Self {
        Self { unordered: self.unordered >> 1, ..self }
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

    /// Tells whether the type has rules.
    #[doc(hidden)]
    fn has_rules() -> bool {
        false
    }

    /// Shows the value to a walk, or the values in it.
    #[doc(hidden)]
    fn walk(&self, walk: &mut Walk) {
        walk.count();
    }
}

macro_rules! same_names_as_item {
    ($([$($generics:tt)*] $container:ty, $names:expr, $walk:expr;)*) => {
        $(impl<$($generics)*> WireNames for $container {
            fn names() -> Names {
                let around: fn(Names) -> Names = $names;
                around(T::names())
            }

            fn has_rules() -> bool {
                T::has_rules()
            }

            fn walk(&self, walk: &mut Walk) {
                let walk_into: fn(&Self, &mut Walk) = $walk;
                walk_into(self, walk);
            }
        })*
    };
}

same_names_as_item! {
    [T: WireNames + ?Sized] Arc<T>, |names| names, |value, walk| T::walk(value, walk);
    [T: WireNames + ?Sized] Box<T>, |names| names, |value, walk| T::walk(value, walk);
    [T: WireNames + ?Sized] Rc<T>, |names| names, |value, walk| T::walk(value, walk);
    [T: WireNames] Option<T>, |names| names, |value, walk| value.iter().for_each(|value| value.walk(walk));
    [T: WireNames] Vec<T>, Names::in_list, |values, walk| walk.items(values, T::walk);
    [T: WireNames] [T], Names::in_list, |values, walk| walk.items(values, T::walk);
    [T: WireNames, const N: usize] [T; N], Names::in_list, |values, walk| walk.items(values, T::walk);
    [T: WireNames, const N: usize] BoundedVec<T, N>, Names::in_list, |values, walk| walk.items(values, T::walk);
    [T: WireNames] VecDeque<T>, Names::in_list, |values, walk| walk.items(values, T::walk);
    [T: WireNames, S] HashSet<T, S>, Names::in_map, |values, walk| walk.entries(values, T::walk);
    [T: WireNames] BTreeSet<T>, Names::in_map, |values, walk| walk.entries(values, T::walk);
    [K, T: WireNames, S] HashMap<K, T, S>, Names::in_map, |map, walk| walk.entries(map.values(), T::walk);
    [K, T: WireNames] BTreeMap<K, T>, Names::in_map, |map, walk| walk.entries(map.values(), T::walk);
}
