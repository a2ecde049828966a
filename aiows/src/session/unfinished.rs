//! The memory that unfinished messages of all clients may use together.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Smaller beginnings of messages are not counted, in bytes: most messages come whole.
const COUNTED: usize = 64 * 1024;

/// Counts the unfinished messages of a server.
#[derive(Debug, Default)]
pub(crate) struct UnfinishedTotal {
    bytes: AtomicUsize,
    messages: AtomicUsize,
}

/// One connection's part of it.
#[derive(Debug)]
pub(super) struct Unfinished {
    total: Arc<UnfinishedTotal>,
    counted: usize,
}

impl Unfinished {
    pub(super) fn new(total: Arc<UnfinishedTotal>) -> Self {
        Self { total, counted: 0 }
    }

    /// Sets how much of a message has come. `Break` if all together exceed `limit` and this one has
    /// more than an equal share of it.
    pub(super) fn set(&mut self, size: usize, limit: usize) -> ControlFlow<()> {
        let size = if size < COUNTED { 0 } else { size };
        if size == self.counted {
            return ControlFlow::Continue(());
        }
        let UnfinishedTotal { bytes, messages } = &*self.total;
        let before = std::mem::replace(&mut self.counted, size);
        // Wraps around where it has become less.
        let others = bytes.fetch_add(size.wrapping_sub(before), Ordering::Relaxed);
        let all = others.wrapping_add(size).wrapping_sub(before);
        match (before, size) {
            (0, _) => drop(messages.fetch_add(1, Ordering::Relaxed)),
            (_, 0) => drop(messages.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        let share = limit / messages.load(Ordering::Relaxed).max(1);
        if size > before && all > limit && size > share {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = self.set(0, usize::MAX);
    }
}
