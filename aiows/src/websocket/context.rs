use std::any::type_name;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::LocalKey;

use crate::id::ConnectionId;
use crate::state::{TypeMap, is_foreign};

/// The values one connection keeps, at most one of each type.
///
/// Use types of your own, which nobody else puts here by accident. A value of another type, such as
/// `String` or `Vec<u8>`, belongs to the source file that puts it here first.
///
/// They are dropped after the disconnect handlers, and nothing is kept any more. So a value may hold
/// the [`WebSocket`](crate::WebSocket) itself.
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
    /// Held by whoever changes the map, so that no change is lost. Taken before `values`.
    turn: Mutex<()>,
}

thread_local! {
    /// The maps that this thread updates, by their addresses.
    static UPDATING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// The maps whose lock this thread holds while it clones a value.
    static CLONING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Where the first value of a type was put that any module may use.
struct Owner<T> {
    place: &'static Location<'static>,
    _of: PhantomData<fn(T)>,
}

/// A thread's turn to change a map.
struct Turn<'a> {
    /// `None` inside of an update by the same thread.
    _held: Option<MutexGuard<'a, ()>>,
}

/// Notes what this thread does with a map, until it is dropped.
struct Noted(&'static LocalKey<RefCell<Vec<usize>>>);

impl Noted {
    fn new(list: &'static LocalKey<RefCell<Vec<usize>>>, map: &ContextMap) -> Self {
        list.with_borrow_mut(|maps| maps.push(map.address()));
        Self(list)
    }
}

impl Drop for Noted {
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

    /// Panics where the thread would wait for itself.
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

    fn turn(&self) -> Turn<'_> {
        self.check_not_cloning();
        let is_nested = UPDATING.with_borrow(|updating| updating.contains(&self.address()));
        let held = (!is_nested).then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        Turn { _held: held }
    }

    /// Refuses a second owner before it replaces what the first one keeps.
    fn check_owner<T: Send + Sync + 'static>(&self, place: &'static Location<'static>) {
        let name = type_name::<T>();
        if !is_foreign(name) {
            return;
        }
        let first = {
            let mut values = self.lock();
            let owner = values.get::<Owner<T>>().map(|owner| owner.place);
            if owner.is_none() {
                // A closed map keeps nothing.
                drop(values.insert(Owner::<T> { place, _of: PhantomData }));
            }
            owner.unwrap_or(place)
        };
        assert!(
            first.file() == place.file(),
            "two modules keep a `{name}` in `ws.context()`, at {first} and at {place}: wrap it in a type \
             of your own, one for each module or one for both"
        );
    }

    /// Keeps a value and returns the one of its type that was kept before.
    ///
    /// After the end of the connection the value is dropped.
    ///
    /// # Panics
    ///
    /// If another source file has put a value of type `T` here, and nothing in `T` is of the application's
    /// crates, as in `String` and `Vec<u8>`: two modules that do not know of each other would share it.
    #[track_caller]
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<T> {
        self.check_owner::<T>(Location::caller());
        let turn = self.turn();
        let inserted = self.lock().insert(value);
        drop(turn);
        inserted.unwrap_or_default()
    }

    /// Returns a clone of the value of type `T`.
    ///
    /// # Panics
    ///
    /// If the `clone` of the value uses this context, which is locked while it runs.
    #[must_use]
    pub fn get<T: Clone + 'static>(&self) -> Option<T> {
        let values = self.lock();
        let _cloning = Noted::new(&CLONING, self);
        values.get().cloned()
    }

    /// Changes the value of type `T`; an absent one is made with `Default` first.
    ///
    /// `change` gets a clone, which replaces the value when it returns. If it panics, the old value
    /// stays. Other threads that change the context wait meanwhile. `change` itself may use the
    /// context; what it does there to the value of type `T` is replaced. If it changes the context of
    /// another connection, no other thread may do the reverse: the two would wait for each other.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get) and [`insert`](Self::insert) do.
    #[track_caller]
    pub fn update<T, R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone + Default + Send + Sync + 'static,
    {
        self.check_owner::<T>(Location::caller());
        let turn = self.turn();
        let updating = Noted::new(&UPDATING, self);
        let mut value = self.get::<T>().unwrap_or_default();
        let result = change(&mut value);
        let replaced = self.lock().insert(value);
        drop(updating);
        drop(turn);
        drop(replaced);
        result
    }

    /// Removes and returns the value of type `T`.
    pub fn remove<T: 'static>(&self) -> Option<T> {
        let _turn = self.turn();
        self.lock().remove()
    }

    /// Drops all values; from now on none is kept.
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
