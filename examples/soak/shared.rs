//! What all clients share.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ledger::Ledger;
use crate::options::Options;
use crate::tally::Tally;

/// What the server, and with it every client, is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no server to connect to, or it is stopping.
    Down,
    /// The server runs; lives are numbered from 1.
    Up { life: u64 },
    /// Every client is to leave in order and stay away.
    Leaving,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) port: u16,
    pub(crate) tally: Tally,
    pub(crate) ledger: Ledger,
    pub(crate) stage: watch::Sender<Stage>,
    /// When the server was last told to stop, and in which life.
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

    /// Returns how long ago the server of this life was told to stop.
    pub(crate) fn since_stop(&self, life: u64) -> Option<Duration> {
        let stop = *self.stop.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        stop.filter(|(stopped, _)| *stopped == life).map(|(_, at)| at.elapsed())
    }
}
