//! Finds out whether a value is dropped while a lock is held.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

/// How long another thread may wait for a lock before it counts as held.
const HELD: Duration = Duration::from_secs(2);

/// When it is dropped, another thread takes the lock: `true` is sent if it could.
pub struct Probe {
    probed: Sender<bool>,
    take_lock: Option<Box<dyn FnOnce() + Send>>,
}

impl Probe {
    pub fn new(probed: Sender<bool>, take_lock: impl FnOnce() + Send + 'static) -> Self {
        Self { probed, take_lock: Some(Box::new(take_lock)) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let Some(take_lock) = self.take_lock.take() else { return };
        let (done, is_done) = mpsc::channel();
        // Not joined: if the lock is held, the thread waits for this one.
        thread::spawn(move || {
            take_lock();
            done.send(())
        });
        let _ = self.probed.try_send(is_done.recv_timeout(HELD).is_ok());
    }
}
