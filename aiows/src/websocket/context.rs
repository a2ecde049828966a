use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::state::TypeMap;

/// The values one connection keeps, at most one of each type.
///
/// ```
/// let (ws, _sent) = aiows::testing::socket();
/// ws.context().insert(String::from("ann"));
/// ws.context().update(|name: &mut String| name.push_str("a"));
/// assert_eq!(ws.context().get::<String>().as_deref(), Some("anna"));
/// assert_eq!(ws.context().remove::<String>().as_deref(), Some("anna"));
/// assert_eq!(ws.context().get::<String>(), None);
/// ```
#[derive(Default)]
pub struct ContextMap {
    values: Mutex<TypeMap>,
}

impl ContextMap {
    fn lock(&self) -> MutexGuard<'_, TypeMap> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a value and returns the one of its type that was kept before.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<T> {
        self.lock().insert(value)
    }

    /// Returns a clone of the value of type `T`.
    #[must_use]
    pub fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.lock().get().cloned()
    }

    /// Changes the value of type `T` in place; an absent one is made with `Default` first.
    ///
    /// `change` runs under a lock: it must not use the context itself.
    pub fn update<T, R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Default + Send + Sync + 'static,
    {
        // Changed outside of the map, so that a panic in `change` leaves no half-changed value.
        let mut values = self.lock();
        let mut value = values.remove::<T>().unwrap_or_default();
        let result = change(&mut value);
        values.insert(value);
        result
    }

    /// Removes and returns the value of type `T`.
    pub fn remove<T: 'static>(&self) -> Option<T> {
        self.lock().remove()
    }
}

impl fmt::Debug for ContextMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}
