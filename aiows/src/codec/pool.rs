//! Large buffers, which are used again while connections exchange large messages.
//!
//! A large buffer that goes back to the allocator is often unmapped, and the next one then costs a
//! page fault for every 4 KiB. The pool is shared by all threads, because a message may be dropped on
//! another thread than the one that read it.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers of more bytes than this are large.
pub(crate) const LARGE: usize = 64 * 1024;

/// The most that is kept, in bytes. When there is more, the oldest buffers are freed.
const MAX_KEPT: usize = 16 * 1024 * 1024;

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// The buffers nobody uses.
struct Pool {
    /// Oldest first.
    buffers: VecDeque<Vec<u8>>,
    /// The capacity of all buffers, in bytes.
    size: usize,
    /// Without a lease nothing is kept.
    leases: usize,
}

/// While there is one, large buffers are kept for the next large message. With the last one all of
/// them go back to the allocator.
#[derive(Debug)]
pub(crate) struct Lease(());

impl Lease {
    pub(crate) fn new() -> Self {
        lock().leases += 1;
        Self(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let unused = lock().end_lease();
        // Freed without the lock.
        drop(unused);
    }
}

/// An empty buffer with room for at least `capacity` bytes.
pub(crate) fn take(capacity: usize) -> Vec<u8> {
    let kept = lock().take(capacity);
    // Rounded up: a buffer that has served one message also serves one that is slightly larger.
    kept.unwrap_or_else(|| Vec::with_capacity(capacity.next_multiple_of(LARGE)))
}

/// Keeps a large buffer for the next [`take`] if there is a lease; frees others.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() <= LARGE {
        return;
    }
    buffer.clear();
    let evicted = lock().give_back(buffer);
    drop(evicted);
}

/// Makes a buffer shareable; a large one is given back when the last share is dropped.
pub(crate) fn share(buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() > LARGE { Bytes::from_owner(Pooled(buffer)) } else { Bytes::from(buffer) }
}

struct Pooled(Vec<u8>);

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        give_back(mem::take(&mut self.0));
    }
}

fn lock() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    const fn new() -> Self {
        Self { buffers: VecDeque::new(), size: 0, leases: 0 }
    }

    /// Returns what was kept if this was the last lease.
    fn end_lease(&mut self) -> VecDeque<Vec<u8>> {
        self.leases -= 1;
        if self.leases > 0 {
            return VecDeque::new();
        }
        self.size = 0;
        mem::take(&mut self.buffers)
    }

    /// Takes the newest buffer that is large enough and not more than twice too large.
    fn take(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let fits = capacity..=capacity.max(LARGE).saturating_mul(2);
        let at = self.buffers.iter().rposition(|kept| fits.contains(&kept.capacity()))?;
        let buffer = self.buffers.remove(at)?;
        self.size -= buffer.capacity();
        Some(buffer)
    }

    /// Returns buffers that there is no room for.
    fn give_back(&mut self, buffer: Vec<u8>) -> Vec<Vec<u8>> {
        let capacity = buffer.capacity();
        if self.leases == 0 || capacity > MAX_KEPT {
            return vec![buffer];
        }
        let mut evicted = Vec::new();
        while self.size + capacity > MAX_KEPT {
            let Some(oldest) = self.buffers.pop_front() else { break };
            self.size -= oldest.capacity();
            evicted.push(oldest);
        }
        self.size += capacity;
        self.buffers.push_back(buffer);
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn leased() -> Pool {
        Pool { leases: 1, ..Pool::new() }
    }

    #[test]
    fn a_buffer_is_used_again_while_there_is_a_lease() {
        let mut pool = leased();
        pool.give_back(Vec::with_capacity(MIB));
        assert!(pool.take(MIB + 1).is_none());
        assert!(pool.take(MIB / 2 - 1).is_none());
        assert_eq!(pool.take(MIB - 10).map(|buffer| buffer.capacity()), Some(MIB));
        assert_eq!((pool.size, pool.take(MIB)), (0, None));
    }

    #[test]
    fn nothing_is_kept_without_a_lease() {
        let mut pool = Pool::new();
        assert_eq!(pool.give_back(Vec::with_capacity(MIB)).len(), 1);
        pool.leases = 2;
        assert_eq!(pool.give_back(Vec::with_capacity(MIB)).len(), 0);
        assert_eq!(pool.end_lease().len(), 0);
        assert_eq!(pool.end_lease().len(), 1);
        assert_eq!((pool.size, pool.buffers.len()), (0, 0));
    }

    #[test]
    fn the_oldest_buffers_make_room_for_new_ones() {
        let mut pool = leased();
        for _ in 0..16 {
            assert_eq!(pool.give_back(Vec::with_capacity(MIB)).len(), 0);
        }
        assert_eq!(pool.give_back(Vec::with_capacity(2 * MIB)).len(), 2);
        assert_eq!((pool.size, pool.buffers.len()), (MAX_KEPT, 15));
        let too_large = pool.give_back(Vec::with_capacity(MAX_KEPT + 1));
        assert_eq!((too_large.len(), pool.buffers.len()), (1, 15));
    }
}
