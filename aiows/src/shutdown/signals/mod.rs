//! SIGINT and SIGTERM stop a server that `Server::run` serves, and nothing else.

#[cfg(unix)]
mod claim;

use tokio::task::AbortHandle;
use tokio::time::Instant;

#[cfg(unix)]
use self::claim::Claim;
use crate::error::Error;
use crate::limits::deadline_after;
use crate::server::App;

/// Stops the server at the first signal and cuts it short at the second, until it is dropped.
pub(crate) struct SignalTask {
    task: AbortHandle,
    #[cfg(unix)]
    _claim: Claim,
}

impl SignalTask {
    pub(crate) fn spawn(app: &App) -> Result<Self, Error> {
        let failed =
            |error| Error::runtime("the handlers of SIGINT and SIGTERM cannot be installed", error);
        #[cfg(unix)]
        let claim = Claim::take().map_err(failed)?;
        let mut signals = Signals::install().map_err(failed)?;
        let (handle, timeout) = (app.handle().clone(), app.shutdown_timeout());
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
        // If nothing waits for Ctrl-C any more, tokio leaves it to the system, which ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
