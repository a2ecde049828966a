//! Detects whether a value is dropped while a lock is held.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

/// The time another thread waits for a lock before the lock counts as held.
const HELD: Duration = Duration::from_secs(2);

/// When it is dropped, another thread tries to take the lock and reports whether it succeeded.
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
        // The thread is not joined: if the lock is held, it waits for this thread.
        thread::spawn(move || {
            take_lock();
            done.send(())
        });
        let _ = self.probed.try_send(is_done.recv_timeout(HELD).is_ok());
    }
}
