//! Values found by their type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

type Value = Box<dyn Any + Send + Sync>;

/// Without keys of its own, which every connection would hold: no client chooses a type.
type Hasher = BuildHasherDefault<DefaultHasher>;

/// A map with at most one value of each type.
#[derive(Default)]
pub(crate) struct TypeMap {
    values: HashMap<TypeId, Value, Hasher>,
}

impl TypeMap {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        let old = self.values.insert(TypeId::of::<T>(), Box::new(value))?;
        old.downcast().ok().map(|old| *old)
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(crate) fn remove<T: 'static>(&mut self) -> Option<T> {
        let value = self.values.remove(&TypeId::of::<T>())?;
        value.downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for TypeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeMap").field("values", &self.values.len()).finish()
    }
}

/// The state of a server or router: cloned for handlers, never changed after the build.
#[derive(Clone, Default)]
pub(crate) struct StateMap {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    repeated: Vec<&'static str>,
}

impl StateMap {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        if self.values.insert(TypeId::of::<T>(), Arc::new(value)).is_some() {
            self.repeated.push(std::any::type_name::<T>());
        }
    }

    pub(crate) fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref().cloned()
    }

    pub(crate) fn has(&self, key: TypeId) -> bool {
        self.values.contains_key(&key)
    }

    /// The types that were given twice, for the error at build time.
    pub(crate) fn repeated(&self) -> &[&'static str] {
        &self.repeated
    }

    /// This map, with what it lacks taken from `outer`.
    pub(crate) fn over(&self, outer: &Self) -> Self {
        let mut values = outer.values.clone();
        values.extend(self.values.iter().map(|(key, value)| (*key, Arc::clone(value))));
        Self { values, repeated: Vec::new() }
    }
}

impl fmt::Debug for StateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMap").field("values", &self.values.len()).finish()
    }
}
