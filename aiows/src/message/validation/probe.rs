//! Finds out at compile time which traits of validation the type of a field implements.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use validator::{Validate, ValidationErrors};

use super::containers::{Keyed, Unordered};
use super::{ListSize, Names, Validated, Walk, WireNames};
use crate::message::{BoundedVec, Probe};

// A method call on a `&&Probe` is resolved on `&Probe` first, then on `&&Probe`, then on `Probe`.

/// Found first, for types with wire names.
pub trait ViaNames {
    /// Returns the names.
    fn names(&self) -> Option<Names>;
}

impl<T: WireNames + ?Sized> ViaNames for &Probe<T> {
    fn names(&self) -> Option<Names> {
        Some(T::names())
    }
}

/// Found next, for maps and sets of types with unknown wire names.
pub trait ViaUnordered {
    /// Returns names that know only that the items have no positions.
    fn names(&self) -> Option<Names>;
}

impl<T: Unordered + ?Sized> ViaUnordered for &&Probe<T> {
    fn names(&self) -> Option<Names> {
        Some(Names::unknown(T::LEVELS))
    }
}

/// Found last, for all other types.
pub trait ViaNothing {
    /// Returns `None`: the type has no names.
    fn names(&self) -> Option<Names>;
}

impl<T: ?Sized> ViaNothing for Probe<T> {
    fn names(&self) -> Option<Names> {
        None
    }
}

/// Found first, for maps with known keys.
pub trait ViaKeys<T: ?Sized> {
    /// Returns the key of an entry as it is written on the wire.
    fn key(&self, map: &T, index: usize) -> Option<String>;
}

impl<T: Keyed + ?Sized> ViaKeys<T> for Probe<T> {
    fn key(&self, map: &T, index: usize) -> Option<String> {
        map.nth_key(index)
    }
}

/// Found one reference further, for all other types.
pub trait ViaNoKeys<T: ?Sized> {
    /// Returns `None`: no key is known.
    fn key(&self, map: &T, index: usize) -> Option<String>;
}

impl<T: ?Sized> ViaNoKeys<T> for &Probe<T> {
    fn key(&self, _: &T, _: usize) -> Option<String> {
        None
    }
}

/// Found first, for types with rules.
pub trait ViaValidated<T: ?Sized> {
    /// Checks the rules.
    fn check(&self, value: &T) -> Result<(), ValidationErrors>;

    /// Returns `true`: the type has rules.
    fn has_rules(&self) -> bool {
        true
    }
}

impl<T: Validated + ?Sized> ViaValidated<T> for Probe<T> {
    fn check(&self, value: &T) -> Result<(), ValidationErrors> {
        value.check()
    }
}

/// Found one reference further, for all other types.
pub trait ViaNoCheck<T: ?Sized> {
    /// Returns `Ok`: there are no rules to break.
    fn check(&self, value: &T) -> Result<(), ValidationErrors>;

    /// Returns `false`: the type has no rules.
    fn has_rules(&self) -> bool {
        false
    }
}

impl<T: ?Sized> ViaNoCheck<T> for &Probe<T> {
    fn check(&self, _: &T) -> Result<(), ValidationErrors> {
        Ok(())
    }
}

/// Found first, for fields of types with wire names.
pub trait ViaWalk<T: ?Sized> {
    /// Passes the field to a walk.
    fn walk(&self, wire: &'static str, value: &T, walk: &mut Walk);
}

impl<T: WireNames + ?Sized> ViaWalk<T> for &Probe<T> {
    fn walk(&self, wire: &'static str, value: &T, walk: &mut Walk) {
        walk.field(wire, |walk| value.walk(walk));
    }
}

/// Found next, for lists of types with unknown wire names.
pub trait ViaItems<T: ?Sized> {
    /// Passes the items to a walk.
    fn walk(&self, wire: &'static str, value: &T, walk: &mut Walk);
}

impl<T: Items + ?Sized> ViaItems<T> for &&Probe<T> {
    fn walk(&self, wire: &'static str, value: &T, walk: &mut Walk) {
        walk.field(wire, |walk| value.walk_items(walk));
    }
}

/// Found last, for all other types.
pub trait ViaNoWalk<T: ?Sized> {
    /// Passes no value to the walk.
    fn walk(&self, wire: &'static str, value: &T, walk: &mut Walk);
}

impl<T: ?Sized> ViaNoWalk<T> for Probe<T> {
    fn walk(&self, _: &'static str, _: &T, _: &mut Walk) {}
}

/// Found first, for lists.
pub trait ViaList<T: ?Sized> {
    /// Returns how many items the list has.
    fn size(&self, value: &T) -> ListSize;
}

impl<T: List + ?Sized> ViaList<T> for Probe<T> {
    fn size(&self, value: &T) -> ListSize {
        ListSize::Items(value.count_items())
    }
}

/// Found one reference further, for all other types.
pub trait ViaNoList<T: ?Sized> {
    /// Returns that the type is not a list.
    fn size(&self, value: &T) -> ListSize;
}

impl<T: ?Sized> ViaNoList<T> for &Probe<T> {
    fn size(&self, _: &T) -> ListSize {
        ListSize::NoList
    }
}

/// A container of any values.
trait List {
    fn count_items(&self) -> usize;
}

macro_rules! lists {
    ($([$($generics:tt)*] $container:ty,)*) => {
        $(impl<$($generics)*> List for $container {
            fn count_items(&self) -> usize {
                self.len()
            }
        })*
    };
}

lists! {
    [T] Vec<T>,
    [T] [T],
    [T, const N: usize] [T; N],
    [T, const N: usize] BoundedVec<T, N>,
    [T] VecDeque<T>,
    [T, S] HashSet<T, S>,
    [T] BTreeSet<T>,
    [K, T, S] HashMap<K, T, S>,
    [K, T] BTreeMap<K, T>,
}

impl<T: List> List for Option<T> {
    fn count_items(&self) -> usize {
        self.as_ref().map_or(0, T::count_items)
    }
}

impl<T: List + ?Sized> List for Box<T> {
    fn count_items(&self) -> usize {
        T::count_items(self)
    }
}

impl<T: List + ?Sized> List for Arc<T> {
    fn count_items(&self) -> usize {
        T::count_items(self)
    }
}

/// A container of values that have rules and no wire names.
trait Items {
    fn walk_items(&self, walk: &mut Walk);
}

macro_rules! items {
    ($method:ident, $([$($generics:tt)*] $container:ty,)*) => {
        $(impl<$($generics)*> Items for $container {
            fn walk_items(&self, walk: &mut Walk) {
                walk.$method(self, |item, walk| walk.unnamed(item));
            }
        })*
    };
}

items! {
    items,
    [T: Validate] Vec<T>,
    [T: Validate] [T],
    [T: Validate, const N: usize] [T; N],
    [T: Validate, const N: usize] BoundedVec<T, N>,
    [T: Validate] VecDeque<T>,
}

items! {
    entries,
    [T: Validate, S] HashSet<T, S>,
    [T: Validate] BTreeSet<T>,
}

impl<T: Items> Items for Option<T> {
    fn walk_items(&self, walk: &mut Walk) {
        self.iter().for_each(|items| items.walk_items(walk));
    }
}

impl<T: Items + ?Sized> Items for Box<T> {
    fn walk_items(&self, walk: &mut Walk) {
        T::walk_items(self, walk);
    }
}

impl<K, T: Validate, S> Items for HashMap<K, T, S> {
    fn walk_items(&self, walk: &mut Walk) {
        walk.entries(self.values(), |item, walk| walk.unnamed(item));
    }
}

impl<K, T: Validate> Items for BTreeMap<K, T> {
    fn walk_items(&self, walk: &mut Walk) {
        walk.entries(self.values(), |item, walk| walk.unnamed(item));
    }
}
