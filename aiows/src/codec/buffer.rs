//! Byte buffers that are reused on the thread that gave them back.

use std::cell::RefCell;

/// The capacity, in bytes, above which a buffer is freed instead of kept.
const MAX_CAPACITY: usize = 16 * 1024;
/// The maximum number of buffers that a thread keeps.
const MAX_BUFFERS: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Returns an empty buffer.
pub(crate) fn take() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer for the next [`take`].
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > MAX_CAPACITY {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < MAX_BUFFERS {
            pool.push(buffer);
        }
    });
}
