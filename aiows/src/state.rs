//! Values that are stored by their type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::id::ConnectionId;

type Value = Box<dyn Any + Send + Sync>;

/// A hasher without random keys, which every connection would have to hold. Clients do not choose
/// the types, so they cannot cause collisions.
type Hasher = BuildHasherDefault<DefaultHasher>;

/// The crates that belong to no application.
const FOREIGN: [&str; 8] =
    ["alloc", "core", "std", "aiows", "bytes", "http", "serde_json", "tokio"];

/// Returns whether two modules could use a type without knowing of each other, because no part of
/// its name is a type of the application. Other crates count as the application, since they may be
/// written for it.
pub(crate) fn is_foreign(type_name: &str) -> bool {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let paths = type_name.split(|c| !is_path(c)).filter_map(|path| path.split_once("::"));
    paths.into_iter().all(|(krate, _)| FOREIGN.contains(&krate))
}

/// A map with at most one value of each type. Once closed, it stores no further values.
#[derive(Debug)]
pub(crate) struct TypeMap {
    /// `None` once the map is closed.
    values: Option<Values>,
}

#[derive(Default)]
struct Values(HashMap<TypeId, Value, Hasher>);

impl Default for TypeMap {
    fn default() -> Self {
        Self { values: Some(Values::default()) }
    }
}

impl TypeMap {
    /// Stores a value and returns the previous value of its type.
    ///
    /// # Errors
    ///
    /// Returns the value itself if the map is closed.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Result<Option<T>, T> {
        let Some(Values(values)) = &mut self.values else { return Err(value) };
        let old = values.insert(TypeId::of::<T>(), Box::new(value));
        Ok(old.and_then(|old| old.downcast().ok()).map(|old| *old))
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.values.as_ref()?.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(crate) fn remove<T: 'static>(&mut self) -> Option<T> {
        let value = self.values.as_mut()?.0.remove(&TypeId::of::<T>())?;
        value.downcast().ok().map(|value| *value)
    }

    /// Takes all values out of the map and closes it.
    pub(crate) fn close(&mut self) -> Self {
        mem::replace(self, Self { values: None })
    }

    /// Drops the values one by one. If one panics, the panic is logged and the others are still
    /// dropped.
    pub(crate) fn drop_caught(self, connection: ConnectionId) {
        let Some(Values(values)) = self.values else { return };
        for (_, value) in values {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                tracing::error!(%connection, "a value of a connection panicked while it was dropped");
                // The payload of the panic may panic on drop as well.
                let _leaked = ManuallyDrop::new(panic);
            }
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.len().fmt(f)
    }
}

/// The state of a server or router. Handlers get clones; the map does not change after the build.
#[derive(Clone, Default)]
pub(crate) struct StateMap {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    /// The names of the types that were added more than once.
    repeated: Vec<&'static str>,
}

impl StateMap {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        if self.values.insert(TypeId::of::<T>(), Arc::new(value)).is_some() {
            self.repeated.push(std::any::type_name::<T>());
        }
    }

    /// Stores a value in place of the previous one of its type.
    pub(crate) fn replace<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref().cloned()
    }

    pub(crate) fn has(&self, key: TypeId) -> bool {
        self.values.contains_key(&key)
    }

    /// Returns the types that were added more than once, which the build reports.
    pub(crate) fn repeated(&self) -> &[&'static str] {
        &self.repeated
    }

    /// Returns this map, completed with the values of `outer` for the types it lacks.
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

#[cfg(test)]
mod tests {
    use std::any::type_name;
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::is_foreign;

    mod serde_json_of_ours {
        pub(super) struct Own;
    }

    #[test]
    fn a_type_is_foreign_if_no_part_of_it_belongs_to_the_application() {
        for foreign in [
            type_name::<u32>(),
            type_name::<&str>(),
            type_name::<(u8, [String; 2])>(),
            type_name::<Vec<String>>(),
            type_name::<HashMap<String, Arc<tokio::sync::Mutex<serde_json::Value>>>>(),
            type_name::<fn(u8) -> Option<bytes::Bytes>>(),
            "core::option::Option<aiows::id::ConnectionId>",
        ] {
            assert!(is_foreign(foreign), "{foreign}");
        }
        let own = type_name::<serde_json_of_ours::Own>().replacen("aiows::", "app::", 1);
        for own in [own.as_str(), "alloc::vec::Vec<app::Note>", "(u8, dyn app::a::B)", "uuid::Uuid"]
        {
            assert!(!is_foreign(own), "{own}");
        }
    }
}
