//! The extractor [`Local`]: a value of one connection that only its handlers use.

use std::any::type_name;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::Call;
use super::{Extraction, FromCall, Needs};
use crate::websocket::WebSocket;

/// Exclusive access to a value that belongs to this connection.
///
/// The first handler that takes it finds `T::default()`. The handlers of one connection run one at
/// a time, so you can hold the value across an `.await` without a lock. It is dropped after the
/// disconnect handlers. One handler can take each `T` only once.
///
/// All handlers of a connection that take the same `T` share the value, so use a type of your own.
/// If handlers of two modules take the same `Local<Vec<String>>` or `Local<u32>`,
/// [`Server::build`](crate::server::Server::build) reports it as a mistake.
///
/// ```
/// use aiows::{Local, message};
///
/// #[derive(Default)]
/// struct Seen(u64);
///
/// #[message("count")]
/// async fn count(mut seen: Local<Seen>) -> serde_json::Value {
///     seen.0 += 1;
///     serde_json::json!({ "type": "count", "seen": seen.0 })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // In a test, make one from a value.
/// assert_eq!(count(Local::from(Seen(6))).await["seen"], 7);
/// # }
/// ```
pub struct Local<T: Send + Sync + 'static> {
    /// `None` only while the value is given back.
    value: Option<T>,
    /// The connection that gets the value back when this is dropped. `None` for a value made in a
    /// test.
    socket: Option<WebSocket>,
}

impl<T: Default + Send + Sync + 'static> From<T> for Local<T> {
    fn from(value: T) -> Self {
        Self { value: Some(value), socket: None }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Default + Send + Sync + 'static> FromCall for Local<T> {
    fn from_call(call: &Call) -> Extraction<Self> {
        let socket = call.websocket().clone();
        let state = {
            let mut locals = socket.locals();
            let state = locals.remove::<LocalState<T>>();
            // Under the same lock, because another task may give the value back at any moment.
            if matches!(state, Some(LocalState::Taken)) {
                // `Taken` holds no value, so dropping it under the lock is safe.
                let _ = locals.insert(LocalState::<T>::Taken);
            }
            state
        };
        // The default is made outside of the lock, because it is code of the application.
        let LocalState::Free(value) = state.unwrap_or_default() else {
            let name = type_name::<T>();
            return Err::<Self, _>(format!("`Local<{name}>` is already taken")).into();
        };
        keep(&socket, LocalState::<T>::Taken);
        Extraction::ready(Ok(Self { value: Some(value), socket: Some(socket) }))
    }

    fn needs(needs: &mut Needs) {
        needs.local::<T>();
    }
}

/// Stores a state. If the connection has ended, the value is dropped instead, outside of the lock.
fn keep<T: Send + Sync + 'static>(socket: &WebSocket, state: LocalState<T>) {
    let replaced = socket.locals().insert(state);
    drop(replaced);
}

enum LocalState<T> {
    Free(T),
    Taken,
}

impl<T: Default> Default for LocalState<T> {
    fn default() -> Self {
        Self::Free(T::default())
    }
}

impl<T: Send + Sync + 'static> Drop for Local<T> {
    fn drop(&mut self) {
        if let (Some(value), Some(socket)) = (self.value.take(), &self.socket) {
            keep(socket, LocalState::Free(value));
        }
    }
}

impl<T: Send + Sync + 'static> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value is given back on drop only")
    }
}

impl<T: Send + Sync + 'static> DerefMut for Local<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the value is given back on drop only")
    }
}

impl<T: fmt::Debug + Send + Sync + 'static> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&**self).finish()
    }
}
