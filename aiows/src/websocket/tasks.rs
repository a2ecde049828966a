//! How long a connection lives, and what lives as long.

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

/// How long a task that is to end may block its thread before it is left alone.
const GRACE: Duration = Duration::from_secs(1);

/// The tasks of one connection; nothing until there is one.
#[derive(Default)]
pub(super) struct Tasks {
    running: Mutex<Option<Box<JoinSet<()>>>>,
}

impl WebSocket {
    /// Waits until the connection is closed or about to be: by this side, by its peer, or because
    /// the server stops.
    ///
    /// A handler that runs for long waits for this beside its work, and then returns: a peer that
    /// leaves and a server that stops wait for the handlers that are pending. What is sent meanwhile
    /// may still arrive; [`is_closed`](Self::is_closed) tells when nothing can any more.
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
    /// Nothing is lost with a dropped future.
    pub async fn closed(&self) {
        self.record.outbox.ending().await;
    }

    /// Runs a future beside the handlers of this connection, on a task that ends with it.
    ///
    /// What is still running when the connection ends is dropped before the disconnect handlers run;
    /// code that blocks its thread is waited for no longer than 1 s. On a closed connection nothing is
    /// begun. A panic ends that future alone, and is logged as an error when it happens. How many there are is up to the handlers: one that spawns for every
    /// message lets its peer decide.
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
    ///     let peer = ws.clone();
    ///     ws.spawn(async move {
    ///         let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ///         while peer.send(&Tick {}).await.is_ok() {
    ///             ticks.tick().await;
    ///         }
    ///     });
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut ended = Vec::new();
        {
            let mut running = self.record.tasks.lock();
            // Looked at under the lock: after its end nobody takes them back.
            if self.is_closed() {
                return;
            }
            let running = running.get_or_insert_default();
            // What has finished gives back its place.
            ended.extend(iter::from_fn(|| running.try_join_next()));
            running.spawn(caught(self.id(), future));
        }
        ended.into_iter().for_each(|ended| self.note(ended));
    }

    /// Logs what has panicked while it was dropped. What it carried is dropped here, so the caller holds no
    /// lock.
    fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            log_panic(self.id(), panic);
        }
    }

    /// Aborts what was spawned, without waiting for it.
    pub(crate) fn abort_tasks(&self) {
        let running = self.record.tasks.lock().take();
        // A set of tasks aborts them when it is dropped.
        drop(running);
    }

    /// Drops what was spawned.
    pub(crate) async fn end_tasks(&self) {
        let running = self.record.tasks.lock().take();
        let Some(mut running) = running else { return };
        running.abort_all();
        let ends = async {
            while let Some(ended) = running.join_next().await {
                self.note(ended);
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

/// Runs a future, and logs its panic at once: nothing may ever join its task.
async fn caught(connection: ConnectionId, future: impl Future<Output = ()>) {
    // Inside of another future, which drops the one that has returned where a panic is caught.
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
