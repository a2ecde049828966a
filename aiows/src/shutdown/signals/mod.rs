//! Stops a server that `Server::run` serves at SIGINT and SIGTERM.
//!
//! - `claim.rs`: gives the signals back to the program when no server runs

#[cfg(unix)]
mod claim;

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

#[cfg(unix)]
use self::claim::Claim;
use super::handle::ServerHandle;
use crate::error::Error;
use crate::limits::deadline_after;

/// Stops the server at the first signal and cuts its connections at the second, until it is
/// dropped.
pub(crate) struct SignalTask {
    task: AbortHandle,
    #[cfg(unix)]
    _claim: Claim,
}

impl SignalTask {
    pub(crate) fn spawn(handle: &ServerHandle, timeout: Duration) -> Result<Self, Error> {
        let failed =
            |error| Error::runtime("the handlers of SIGINT and SIGTERM cannot be installed", error);
        #[cfg(unix)]
        let claim = Claim::take().map_err(failed)?;
        let mut signals = Signals::install().map_err(failed)?;
        let handle = handle.clone();
        let task = tokio::spawn(async move {
            signals.next().await;
            handle.stop(deadline_after(timeout));
            signals.next().await;
            handle.lifecycle().stop(Instant::now());
        });
        Ok(Self {
            task: task.abort_handle(),
            #[cfg(unix)]
            _claim: claim,
        })
    }
}

impl Drop for SignalTask {
    fn drop(&mut self) {
        self.task.abort();
    }
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
        // SetOnce no task waits for Ctrl-C, tokio leaves it to the system, which ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
