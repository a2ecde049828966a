//! The state that all clients share.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ledger::Ledger;
use crate::options::Options;
use crate::tally::Tally;

/// The stage of the run, which directs the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no server to connect to, or it is stopping.
    Down,
    /// The server is running. Lives are numbered from 1.
    Up { life: u64 },
    /// Every client closes its connection and does not return.
    Leaving,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) port: u16,
    pub(crate) tally: Tally,
    pub(crate) ledger: Ledger,
    pub(crate) stage: watch::Sender<Stage>,
    /// The time of the last shutdown and the life that it ended.
    stop: Mutex<Option<(u64, Instant)>>,
}

impl Shared {
    pub(crate) fn new(options: Options, port: u16) -> Self {
        Self {
            options,
            port,
            tally: Tally::default(),
            ledger: Ledger::default(),
            stage: watch::Sender::new(Stage::Down),
            stop: Mutex::new(None),
        }
    }

    pub(crate) fn note_stop(&self, life: u64) {
        *self.stop.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            Some((life, Instant::now()));
    }

    /// Returns the time since the shutdown of this life started, or `None` if it has not started.
    pub(crate) fn since_stop(&self, life: u64) -> Option<Duration> {
        let stop = *self.stop.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        stop.filter(|(stopped, _)| *stopped == life).map(|(_, at)| at.elapsed())
    }
}
