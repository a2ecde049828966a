//! Identifiers: of connections, of requests, and of failures.

mod message;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

pub use self::message::MessageId;

/// Identifies one connection of this process.
///
/// It prints as 16 hexadecimal digits, is never reused while the process runs, and does not tell
/// how many connections came before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        Self(unique())
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes the `error_id` that a peer sees and the log explains.
pub(crate) fn error_id() -> String {
    format!("{:016x}", unique())
}

/// A number no other call in this process returns: a counter under a bijection with random keys.
fn unique() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static KEYS: LazyLock<(u64, u64)> = LazyLock::new(|| {
        let random = RandomState::new();
        (random.hash_one(0_u8) | 1, random.hash_one(1_u8))
    });
    let (odd, mask) = *KEYS;
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mixed = (count ^ mask).wrapping_mul(odd);
    (mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_do_not_repeat() {
        let ids: HashSet<_> = (0..100_000).map(|_| ConnectionId::next()).collect();
        assert_eq!(ids.len(), 100_000);
    }

    #[test]
    fn an_id_prints_as_sixteen_digits() {
        assert_eq!(ConnectionId(0xff).to_string(), "00000000000000ff");
        assert_eq!(serde_json::to_string(&ConnectionId(1)).unwrap(), "\"0000000000000001\"");
    }
}
