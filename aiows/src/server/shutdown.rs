use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, sleep_until, timeout};

use super::App;
use super::handle::{ServerHandle, Stop};
use crate::error::Error;
use crate::limits::deadline_after;
use crate::outbox::CloseWish;

/// How long the disconnect handlers of cut connections may take.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// Connections that are told at the same time.
const BATCH: usize = 100;

/// The longest pause between two batches, so that clients do not all come back at once.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Closes every connection and waits for the sessions, at most until the deadline.
pub(super) async fn drain(app: &App) -> Result<(), Error> {
    let handle = app.handle();
    let within = match handle.stopping().await {
        Stop::Within(timeout) => timeout.unwrap_or(app.shutdown_timeout()),
        Stop::Now => Duration::ZERO,
    };
    tracing::info!(active = handle.stats().active, "stopping");
    let deadline = deadline_after(within);
    app.tasks().close();
    let ended = async {
        close_all(handle, within).await;
        handle.drained().await;
        handle.set_drained();
        app.tasks().wait().await;
    };
    tokio::select! {
        biased;
        () = ended => return Ok(()),
        () = handle.forced() => {}
        () = sleep_until(deadline) => {}
    }
    tracing::warn!(active = handle.stats().active, "connections are cut");
    // What is no WebSocket is told by this.
    handle.stop(Stop::Now);
    for socket in handle.hub().close_door(&CloseWish::cut()) {
        socket.outbox().wish_close(CloseWish::cut());
    }
    handle.set_drained();
    // A handler that blocks its thread cannot be waited for.
    let _ = timeout(CUT_GRACE, app.tasks().wait()).await;
    Err(Error::forced())
}

/// Tells all connections to leave, in batches with pauses of random length that together take
/// no more than half of the time there is.
async fn close_all(handle: &ServerHandle, within: Duration) {
    let sockets = handle.hub().close_door(&CloseWish::shutdown());
    let batches = u32::try_from(sockets.len().div_ceil(BATCH)).unwrap_or(u32::MAX).max(1);
    let longest = MAX_PAUSE.min(within / 2 / batches);
    for (number, batch) in sockets.chunks(BATCH).enumerate() {
        if number > 0 {
            sleep(longest.mul_f64(random_share())).await;
        }
        for socket in batch {
            socket.outbox().wish_close(CloseWish::shutdown());
        }
    }
}

/// A number from 0 to 1; good enough to keep clients apart.
fn random_share() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

/// Stops the server at the first signal and cuts it short at the second.
pub(super) fn signals(handle: ServerHandle) -> Result<AbortHandle, Error> {
    let mut signals = Signals::install().map_err(|error| {
        Error::runtime("the handlers of SIGINT and SIGTERM cannot be installed", error)
    })?;
    let task: JoinHandle<()> = tokio::spawn(async move {
        signals.next().await;
        handle.stop(Stop::Within(None));
        signals.next().await;
        handle.stop(Stop::Now);
    });
    Ok(task.abort_handle())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a handler for Ctrl-C the process ends by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
