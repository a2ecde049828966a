//! What validation knows about the containers of the standard library: the order of their items and
//! the keys of maps.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::{Names, Walk, WireNames};
use crate::message::BoundedVec;

/// A container of items that have no position on the wire, or a container of such containers.
pub(super) trait Unordered {
    /// One bit for each nested container, from the outermost at the lowest bit. Set if the items of
    /// that container have no position.
    const LEVELS: u32;
}

macro_rules! unordered {
    ($levels:expr, $([$($generics:tt)*] $container:ty,)*) => {
        $(impl<$($generics)*> Unordered for $container {
            const LEVELS: u32 = $levels;
        })*
    };
}

unordered! {
    1,
    [T, S] HashSet<T, S>,
    [T] BTreeSet<T>,
    [K, T, S] HashMap<K, T, S>,
    [K, T] BTreeMap<K, T>,
}

unordered! {
    T::LEVELS << 1,
    [T: Unordered] Vec<T>,
    [T: Unordered] [T],
    [T: Unordered, const N: usize] [T; N],
    [T: Unordered, const N: usize] BoundedVec<T, N>,
    [T: Unordered] VecDeque<T>,
}

unordered! {
    T::LEVELS,
    [T: Unordered] Option<T>,
    [T: Unordered + ?Sized] Box<T>,
    [T: Unordered + ?Sized] Arc<T>,
}

/// A map with keys that can be written in a path.
pub(super) trait Keyed {
    /// Returns the key of an entry, counted in the order of the values.
    fn nth_key(&self, index: usize) -> Option<String>;
}

impl<K: Key, T, S> Keyed for HashMap<K, T, S> {
    fn nth_key(&self, index: usize) -> Option<String> {
        self.keys().nth(index).map(ToString::to_string)
    }
}

impl<K: Key, T> Keyed for BTreeMap<K, T> {
    fn nth_key(&self, index: usize) -> Option<String> {
        self.keys().nth(index).map(ToString::to_string)
    }
}

impl<T: Keyed> Keyed for Option<T> {
    fn nth_key(&self, index: usize) -> Option<String> {
        self.as_ref()?.nth_key(index)
    }
}

/// A key that is written on the wire in the same way as it is displayed.
pub(super) trait Key: ToString {}

macro_rules! keys {
    ($($key:ty)*) => {
        $(impl Key for $key {})*
    };
}

keys! {
    String Box<str> Arc<str> Cow<'_, str> char bool
    i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize
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
