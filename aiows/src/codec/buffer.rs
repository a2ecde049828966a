//! Byte buffers that are used again on the thread that gave them back.

use std::cell::RefCell;

use super::pool;

/// Larger buffers are not kept by a thread, in bytes.
const MAX_CAPACITY: usize = 16 * 1024;
/// The most a thread keeps.
const MAX_BUFFERS: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// An empty buffer for `capacity` bytes. A large one has room for them.
pub(crate) fn with_capacity(capacity: usize) -> Vec<u8> {
    if capacity > pool::LARGE { pool::take(capacity) } else { take() }
}

/// Keeps a buffer for the next [`take`].
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() > MAX_CAPACITY {
        return pool::give_back(buffer);
    }
    if buffer.capacity() == 0 {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < MAX_BUFFERS {
            pool.push(buffer);
        }
    });
}
