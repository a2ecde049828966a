//! The memory for unfinished messages of all clients together.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Unfinished messages below this size, in bytes, are not counted, because most messages arrive
/// whole.
const COUNTED: usize = 64 * 1024;

/// The unfinished messages of a server.
#[derive(Debug, Default)]
pub(crate) struct UnfinishedTotal {
    bytes: AtomicUsize,
    messages: AtomicUsize,
}

/// One connection's part of the total.
#[derive(Debug)]
pub(super) struct Unfinished {
    total: Arc<UnfinishedTotal>,
    counted: usize,
}

impl Unfinished {
    pub(super) fn new(total: Arc<UnfinishedTotal>) -> Self {
        Self { total, counted: 0 }
    }

    /// Sets how many bytes of a message have arrived. Returns `Break` if all messages together
    /// exceed `limit` and this one exceeds an equal share of it.
    pub(super) fn set(&mut self, size: usize, limit: usize) -> ControlFlow<()> {
        let size = if size < COUNTED { 0 } else { size };
        if size == self.counted {
            return ControlFlow::Continue(());
        }
        let UnfinishedTotal { bytes, messages } = &*self.total;
        let before = std::mem::replace(&mut self.counted, size);
        // Adding a negative difference wraps around.
        bytes.fetch_add(size.wrapping_sub(before), Ordering::Relaxed);
        match (before, size) {
            (0, _) => drop(messages.fetch_add(1, Ordering::Relaxed)),
            (_, 0) => drop(messages.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        if size > before && self.has_too_much(limit) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Whether the message is large enough to be counted.
    pub(super) fn is_counted(&self) -> bool {
        self.counted > 0
    }

    /// Whether all messages together exceed `limit` and this one exceeds an equal share of it.
    pub(super) fn has_too_much(&self, limit: usize) -> bool {
        let UnfinishedTotal { bytes, messages } = &*self.total;
        let share = limit / messages.load(Ordering::Relaxed).max(1);
        bytes.load(Ordering::Relaxed) > limit && self.counted > share
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = self.set(0, usize::MAX);
    }
}
