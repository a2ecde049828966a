//! Byte buffers that are used again: small ones on the thread that gave them back.

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use super::pool::{LARGE, LargeBuffer};

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

/// A buffer that bytes are appended to, however many.
#[derive(Debug)]
pub(crate) enum Buffer {
    Small(Vec<u8>),
    Large(LargeBuffer),
}

impl Buffer {
    /// An empty buffer in which `capacity` bytes are expected.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        if capacity > LARGE {
            Self::Large(LargeBuffer::with_capacity(capacity))
        } else {
            Self::Small(take())
        }
    }

    /// Inlined, because a message is written in many small parts.
    #[inline]
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        match self {
            Self::Small(small) if bytes.len() <= small.capacity() - small.len() => {
                small.extend_from_slice(bytes);
            }
            _ => self.extend_with_growth(bytes),
        }
    }

    #[cold]
    fn extend_with_growth(&mut self, bytes: &[u8]) {
        match self {
            Self::Small(small) if small.len() + bytes.len() <= LARGE => {
                small.extend_from_slice(bytes);
            }
            Self::Small(small) => {
                let mut large = LargeBuffer::with_capacity(2 * LARGE.max(bytes.len()));
                large.extend_from_slice(small);
                large.extend_from_slice(bytes);
                give_back(mem::take(small));
                *self = Self::Large(large);
            }
            Self::Large(large) => large.extend_from_slice(bytes),
        }
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        match self {
            Self::Small(small) => small.truncate(length),
            Self::Large(large) => large.truncate(length),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Small(small) => Bytes::from(small),
            Self::Large(large) => large.into_bytes(),
        }
    }

    /// Keeps the buffer for another use.
    pub(crate) fn give_back(self) {
        if let Self::Small(small) = self {
            give_back(small);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(small) => small,
            Self::Large(large) => large.as_slice(),
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(small) => small,
            Self::Large(large) => large.as_mut_slice(),
        }
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
