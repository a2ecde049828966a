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

    /// Returns a clone of the value of type `T`. Its `clone` runs under a lock and must not use the
    /// context itself.
    #[must_use]
    pub fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.lock().get().cloned()
    }

    /// Changes the value of type `T` in place; an absent one is made with `Default` first.
    ///
    /// Both run under a lock: they must not use the context itself. If `change` panics, the value is
    /// gone.
    pub fn update<T, R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Default + Send + Sync + 'static,
    {
        // Declared before the lock, so dropped after it. Changed outside of the map: a panic in `change`
        // leaves no half-changed value.
        let mut taken = None;
        let mut values = self.lock();
        let value = taken.insert(values.remove::<T>().unwrap_or_default());
        let result = change(value);
        if let Some(value) = taken.take() {
            values.insert(value);
        }
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A value that uses its context when it is dropped.
    #[derive(Default)]
    struct Guest(Option<Arc<ContextMap>>);

    impl Drop for Guest {
        fn drop(&mut self) {
            if let Some(context) = self.0.take() {
                context.insert("gone");
            }
        }
    }

    #[test]
    fn a_value_is_dropped_outside_of_the_lock_when_its_change_panics() {
        let (done, is_done) = mpsc::channel();
        // A thread that waits for its own lock never ends, so nobody joins it.
        thread::spawn(move || {
            let context = Arc::new(ContextMap::default());
            let change = |guest: &mut Guest| {
                guest.0 = Some(Arc::clone(&context));
                panic!("in the middle of a change");
            };
            let result = catch_unwind(AssertUnwindSafe(|| context.update(change)));
            done.send((result.is_err(), context.get::<&str>(), context.get::<String>()))
        });
        let seen =
            is_done.recv_timeout(Duration::from_secs(10)).expect("a thread waits for itself");
        assert_eq!(seen, (true, Some("gone"), None));
    }
}
