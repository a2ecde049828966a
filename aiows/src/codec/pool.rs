//! Large buffers, which are used again while connections exchange large messages.
//!
//! The allocator may unmap a large buffer that is freed, and then the next one costs a page fault for
//! every 4 KiB. All threads share the pool, because a message may be dropped on another thread than the
//! one that read it.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// Buffers of more bytes than this are large.
pub(crate) const LARGE: usize = 64 * 1024;

/// The capacity of each buffer in the pool: a message as large as the default limit, with its head.
const CAPACITY: usize = 1024 * 1024 + LARGE;

/// Buffers in the pool: just under 16 MiB together.
const BUFFERS: usize = 15;

/// What the pool allocates at once. All buffers are cut out of it, and the end is never touched.
/// glibc always maps an allocation of this size by itself, so that freeing it returns every page,
/// whatever was allocated meanwhile.
const SLAB: usize = 33 * 1024 * 1024;

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

#[derive(Debug)]
struct Pool {
    unused: Vec<BytesMut>,
    used: usize,
    leases: usize,
}

/// As long as there is a lease, the pool keeps its buffers. When the last lease has ended and every
/// buffer is back, the pool frees them.
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
        let freed = lock().end_lease();
        // Not under the lock.
        drop(freed);
    }
}

/// A buffer for more than [`LARGE`] bytes.
#[derive(Debug)]
pub(crate) struct LargeBuffer {
    /// Never grows: a part of the slab would leave it for memory of its own.
    bytes: BytesMut,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Allocator,
    Pool,
}

impl LargeBuffer {
    /// An empty buffer with room for at least `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let pooled = if capacity <= CAPACITY { lock().take() } else { None };
        match pooled {
            Some(bytes) => Self { bytes, origin: Origin::Pool },
            None => Self { bytes: BytesMut::with_capacity(capacity), origin: Origin::Allocator },
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Appends bytes, in a larger buffer if there is no room.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let length = self.bytes.len() + bytes.len();
        if length > self.capacity() {
            self.grow(length.max(self.capacity().saturating_mul(2)));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Moves to a buffer with room for `capacity` bytes.
    pub(crate) fn grow(&mut self, capacity: usize) {
        let mut larger = Self::with_capacity(capacity);
        larger.bytes.extend_from_slice(&self.bytes);
        *self = larger;
    }

    /// Makes the buffer shareable; it goes back to the pool when the last share is dropped.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for LargeBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for LargeBuffer {
    fn drop(&mut self) {
        if self.origin == Origin::Pool {
            let freed = lock().give_back(mem::take(&mut self.bytes));
            drop(freed);
        }
    }
}

fn lock() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    const fn new() -> Self {
        Self { unused: Vec::new(), used: 0, leases: 0 }
    }

    fn take(&mut self) -> Option<BytesMut> {
        if self.used == 0 && self.unused.is_empty() && self.leases > 0 {
            self.unused = slab();
        }
        let buffer = self.unused.pop()?;
        self.used += 1;
        Some(buffer)
    }

    /// Returns what is to be freed.
    fn give_back(&mut self, mut buffer: BytesMut) -> Vec<BytesMut> {
        buffer.clear();
        self.unused.push(buffer);
        self.used -= 1;
        self.release()
    }

    /// Returns what is to be freed.
    fn end_lease(&mut self) -> Vec<BytesMut> {
        self.leases -= 1;
        self.release()
    }

    fn release(&mut self) -> Vec<BytesMut> {
        if self.leases == 0 && self.used == 0 {
            return mem::take(&mut self.unused);
        }
        Vec::new()
    }
}

fn slab() -> Vec<BytesMut> {
    let mut rest = BytesMut::with_capacity(SLAB);
    let cut = |_| {
        let behind = rest.split_off(CAPACITY);
        mem::replace(&mut rest, behind)
    };
    (0..BUFFERS).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_while_there_is_a_lease() {
        let mut pool = Pool { leases: 2, ..Pool::new() };
        let mut first = pool.take().unwrap();
        first.extend_from_slice(b"secret");
        let at = first.as_ptr();
        assert_eq!(pool.give_back(first).len(), 0);
        let again = pool.take().unwrap();
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (at, 0, CAPACITY));
        assert_eq!(pool.end_lease().len(), 0);
        assert_eq!(pool.give_back(again).len(), 0);
        assert_eq!(pool.end_lease().len(), BUFFERS);
        assert!(pool.take().is_none());
    }

    #[test]
    fn the_pool_lends_so_many_buffers_and_no_more() {
        let mut pool = Pool { leases: 1, ..Pool::new() };
        let lent: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(lent.len(), BUFFERS);
        // Without a lease they are freed when the last one is back.
        assert_eq!(pool.end_lease().len(), 0);
        let freed: usize = lent.into_iter().map(|buffer| pool.give_back(buffer).len()).sum();
        assert_eq!(freed, BUFFERS);
    }

    #[test]
    fn a_full_buffer_leaves_its_place_to_a_larger_one() {
        let mut buffer = LargeBuffer::with_capacity(LARGE + 1);
        let capacity = buffer.capacity();
        buffer.extend_from_slice(&vec![1; capacity]);
        buffer.extend_from_slice(&[2]);
        assert!(buffer.capacity() > capacity);
        assert_eq!(buffer.as_slice().len(), capacity + 1);
        assert_eq!(buffer.into_bytes()[capacity - 1..], [1, 2]);
    }
}
