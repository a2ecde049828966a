//! The values of one connection, found by their type.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::LocalKey;

use crate::id::ConnectionId;
use crate::state::{TypeMap, is_foreign};

/// The values that one connection keeps, at most one of each type.
///
/// Use types of your own, so that no other module stores the same type by accident. A value of a
/// common type, such as `String` or `Vec<u8>`, belongs to the source file that first inserts it;
/// see [`insert`](Self::insert).
///
/// The values are dropped after the disconnect handlers have run, and no value is kept afterwards.
/// So a value may hold the [`WebSocket`](crate::WebSocket) itself.
///
/// ```
/// let (ws, _sent) = aiows::testing::socket();
/// #[derive(Clone, Debug, Default, PartialEq)]
/// struct Name(String);
///
/// ws.context().insert(Name("ann".into()));
/// ws.context().update(|Name(name)| name.push_str("a"));
/// assert_eq!(ws.context().get(), Some(Name("anna".into())));
/// assert_eq!(ws.context().remove(), Some(Name("anna".into())));
/// assert_eq!(ws.context().get::<Name>(), None);
/// ```
#[derive(Default)]
pub struct ContextMap {
    values: Mutex<TypeMap>,
    /// Held by the thread that changes the map, so that no change is lost. Locked before `values`.
    change_lock: Mutex<()>,
}

thread_local! {
    /// Addresses of the maps that this thread is updating.
    static UPDATING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// Addresses of the maps that this thread has locked while it clones a value.
    static CLONING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The location in the source that first inserted a value of a type that any module could use.
struct Owner<T> {
    location: &'static Location<'static>,
    _of: PhantomData<fn(T)>,
}

/// A thread's exclusive right to change a map.
struct ChangeGuard<'a> {
    /// `None` within an update by the same thread, which holds the lock already.
    _held: Option<MutexGuard<'a, ()>>,
}

/// Marks a map in a list of this thread until it is dropped.
struct ListedMap(&'static LocalKey<RefCell<Vec<usize>>>);

impl ListedMap {
    fn new(list: &'static LocalKey<RefCell<Vec<usize>>>, map: &ContextMap) -> Self {
        list.with_borrow_mut(|maps| maps.push(map.address()));
        Self(list)
    }
}

impl Drop for ListedMap {
    fn drop(&mut self) {
        self.0.with_borrow_mut(Vec::pop);
    }
}

impl ContextMap {
    fn lock(&self) -> MutexGuard<'_, TypeMap> {
        match self.values.try_lock() {
            Ok(values) => values,
            Err(TryLockError::Poisoned(values)) => values.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.check_not_cloning();
                self.values.lock().unwrap_or_else(PoisonError::into_inner)
            }
        }
    }

    /// Panics if the thread would wait for a lock that it holds.
    fn check_not_cloning(&self) {
        let is_cloning = CLONING.with_borrow(|maps| maps.contains(&self.address()));
        assert!(
            !is_cloning,
            "the `Clone` of a value in a context must not use that context, which is locked meanwhile"
        );
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock_changes(&self) -> ChangeGuard<'_> {
        self.check_not_cloning();
        let is_nested = UPDATING.with_borrow(|updating| updating.contains(&self.address()));
        let held =
            (!is_nested).then(|| self.change_lock.lock().unwrap_or_else(PoisonError::into_inner));
        ChangeGuard { _held: held }
    }

    /// Panics if another source file owns the type, before its value is replaced.
    fn check_owner<T: Send + Sync + 'static>(&self, location: &'static Location<'static>) {
        let name = type_name::<T>();
        if !is_foreign(name) {
            return;
        }
        let first = {
            let mut values = self.lock();
            let owner = values.get::<Owner<T>>().map(|owner| owner.location);
            if owner.is_none() {
                // A closed map stores no owner either.
                drop(values.insert(Owner::<T> { location, _of: PhantomData }));
            }
            owner.unwrap_or(location)
        };
        assert!(
            first.file() == location.file(),
            "two modules keep a `{name}` in `ws.context()`, at {first} and at {location}: wrap it in a type \
             of your own, one for each module or one for both"
        );
    }

    /// Stores a value and returns the previous one of its type.
    ///
    /// If the connection has ended, the value is dropped.
    ///
    /// # Panics
    ///
    /// Panics if another source file has inserted a value of type `T`, and `T` consists only of
    /// types from the standard library, aiows, `bytes`, `http`, `serde_json` and `tokio`, such as
    /// `String` or `Vec<u8>`. Two modules that do not know of each other would share such a value.
    #[track_caller]
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<T> {
        self.check_owner::<T>(Location::caller());
        let guard = self.lock_changes();
        let inserted = self.lock().insert(value);
        drop(guard);
        inserted.unwrap_or_default()
    }

    /// Returns a clone of the value of type `T`.
    ///
    /// # Panics
    ///
    /// Panics if the `clone` of the value uses this context, which is locked while it runs.
    #[must_use]
    pub fn get<T: Clone + 'static>(&self) -> Option<T> {
        let values = self.lock();
        let _cloning = ListedMap::new(&CLONING, self);
        values.get().cloned()
    }

    /// Changes the value of type `T`. If there is none, it begins with the `Default` of `T`.
    ///
    /// `change` gets a clone, which replaces the value when `change` returns. If it panics, the old
    /// value stays. Other threads that change this context wait until `change` has returned.
    /// `change` itself may use the context, but a change it makes there to the value of type `T` is
    /// overwritten. If it changes the context of another connection, make sure that no other thread
    /// does the reverse: the two would wait for each other.
    ///
    /// # Panics
    ///
    /// Panics if [`get`](Self::get) or [`insert`](Self::insert) would.
    #[track_caller]
    pub fn update<T, R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone + Default + Send + Sync + 'static,
    {
        self.check_owner::<T>(Location::caller());
        let guard = self.lock_changes();
        let updating = ListedMap::new(&UPDATING, self);
        let mut value = self.get::<T>().unwrap_or_default();
        let result = change(&mut value);
        let replaced = self.lock().insert(value);
        drop(updating);
        drop(guard);
        drop(replaced);
        result
    }

    /// Removes and returns the value of type `T`.
    pub fn remove<T: 'static>(&self) -> Option<T> {
        let _turn = self.lock_changes();
        self.lock().remove()
    }

    /// Drops all values, and keeps none from now on.
    pub(crate) fn close(&self, connection: ConnectionId) {
        let values = self.lock().close();
        values.drop_caught(connection);
    }
}

impl fmt::Debug for ContextMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}
