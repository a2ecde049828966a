//! Waiting for the end of a connection, and tasks that end with it.

use std::future::Future;
use std::iter;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::WebSocket;
use crate::error::{Panic, drop_quietly, panic_text};
use crate::id::{ConnectionId, error_id};

/// How long the end of a connection waits for aborted tasks, which may block their threads.
const GRACE: Duration = Duration::from_secs(1);

/// The tasks of one connection; allocated for the first one.
#[derive(Default)]
pub(super) struct Tasks {
    running: Mutex<Option<Box<JoinSet<()>>>>,
}

impl WebSocket {
    /// Waits until the connection is closed or about to be: by the server, by its client, or
    /// because the server shuts down.
    ///
    /// If your handler runs for a long time, wait for this alongside its work, and then return: a
    /// client that leaves and a server that shuts down wait for handlers that are pending. A
    /// message that you send in the meantime may still arrive; [`is_closed`](Self::is_closed)
    /// returns whether none can arrive any more.
    ///
    /// ```
    /// use aiows::{Message, Result, WebSocket, message};
    /// use serde::Serialize;
    /// use std::time::Duration;
    ///
    /// #[derive(Message, Serialize)]
    /// struct Tick {}
    ///
    /// #[message("watch")]
    /// async fn watch(ws: WebSocket) -> Result {
    ///     let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ///     loop {
    ///         tokio::select! {
    ///             () = ws.closed() => return Ok(()),
    ///             _ = ticks.tick() => ws.send(&Tick {}).await?,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// You can drop the future and call `closed` again without missing the end.
    pub async fn closed(&self) {
        self.record.outbox.ending().await;
    }

    /// Runs a future alongside the handlers of this connection, on a task that ends with the
    /// connection.
    ///
    /// If the future is still running when the connection ends, it is dropped before the disconnect
    /// handlers run. If it blocks its thread, the connection waits no longer than 1 s. On a closed
    /// connection the future is not started. If the future panics, the panic is logged as an error
    /// right away, and neither the connection nor its other tasks end.
    ///
    /// The number of tasks is not limited: if a handler spawns one for every message, its client
    /// controls how many there are.
    ///
    /// ```
    /// use aiows::{Message, WebSocket, connect};
    /// use serde::Serialize;
    /// use std::time::Duration;
    ///
    /// #[derive(Message, Serialize)]
    /// struct Tick {}
    ///
    /// #[connect]
    /// async fn tick(ws: WebSocket) {
    ///     let socket = ws.clone();
    ///     ws.spawn(async move {
    ///         let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ///         while socket.send(&Tick {}).await.is_ok() {
    ///             ticks.tick().await;
    ///         }
    ///     });
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is called outside of a tokio runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut ended = Vec::new();
        {
            let mut running = self.record.tasks.lock();
            // Checked under the lock: `end_tasks` takes the set only once, so a task added later
            // would never end.
            if self.is_closed() {
                return;
            }
            let running = running.get_or_insert_default();
            // Removes the tasks that have finished from the set.
            ended.extend(iter::from_fn(|| running.try_join_next()));
            running.spawn(catch_and_log(self.id(), future));
        }
        ended.into_iter().for_each(|ended| self.log_panic_of(ended));
    }

    /// Logs a task that panicked while it was dropped. The panic's payload is dropped here, so the
    /// caller must hold no lock.
    fn log_panic_of(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            log_panic(self.id(), panic);
        }
    }

    /// Aborts the spawned tasks without waiting for them.
    pub(crate) fn abort_tasks(&self) {
        let running = self.record.tasks.lock().take();
        // A `JoinSet` aborts its tasks when it is dropped.
        drop(running);
    }

    /// Aborts the spawned tasks and waits until they are dropped, for at most `GRACE`.
    pub(crate) async fn end_tasks(&self) {
        let running = self.record.tasks.lock().take();
        let Some(mut running) = running else { return };
        running.abort_all();
        let ends = async {
            while let Some(ended) = running.join_next().await {
                self.log_panic_of(ended);
            }
        };
        let _ = timeout(GRACE, ends).await;
    }
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Option<Box<JoinSet<()>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a future and logs its panic at once, because its task may never be joined.
async fn catch_and_log(connection: ConnectionId, future: impl Future<Output = ()>) {
    // Wrapped in another future, which drops a future that has returned while panics are still
    // caught.
    let inner = AssertUnwindSafe(async move {
        future.await;
    });
    if let Err(panic) = inner.catch_unwind().await {
        log_panic(connection, panic);
    }
}

fn log_panic(connection: ConnectionId, panic: Panic) {
    let error_id = error_id();
    let error = panic_text(&panic);
    tracing::error!(%connection, error_id, error, "a future given to `ws.spawn` panicked");
    drop_quietly(panic);
}
