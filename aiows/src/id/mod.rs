//! Identifiers of connections, of requests, and of errors.

mod message; // the id of a request
mod permutation; // makes ids unpredictable

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

pub use self::message::MessageId;
pub(crate) use self::message::RAW_VALUE;
use self::permutation::Permutation;

/// The bits of a connection id that the counter uses. The upper 20 bits are reserved for the
/// process itself.
const ID_BITS: u32 = 44;

/// Identifies one connection of this process.
///
/// It is displayed as 16 hexadecimal digits, of which the first five are zero. No two of the first
/// 2^44 connections of a process have the same id. The ids of some connections reveal neither the
/// ids of others nor the number of connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        static IDS: LazyLock<Ids> = LazyLock::new(|| Ids::of_bits(ID_BITS));
        Self(IDS.next())
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

/// Makes the `error_id` that the client receives and the log explains.
pub(crate) fn error_id() -> String {
    static IDS: LazyLock<Ids> = LazyLock::new(|| Ids::of_bits(64));
    format!("{:016x}", IDS.next())
}

/// Numbers that do not repeat and cannot be predicted: a counter under a keyed permutation.
#[derive(Debug)]
struct Ids {
    counter: AtomicU64,
    permutation: Permutation,
}

impl Ids {
    fn of_bits(bits: u32) -> Self {
        Self { counter: AtomicU64::new(0), permutation: Permutation::new(bits / 2) }
    }

    fn next(&self) -> u64 {
        self.permutation.apply(self.counter.fetch_add(1, Ordering::Relaxed))
    }
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
    fn a_connection_id_has_44_bits() {
        let ids = (0..1_000).map(|_| ConnectionId::next().0).collect::<Vec<_>>();
        assert!(ids.iter().all(|id| id >> ID_BITS == 0));
        let bits = ids.iter().fold(0, |bits, id| bits | id);
        assert_eq!(bits, (1 << ID_BITS) - 1, "every bit of it is used");
    }

    /// An attack on ids that an affine map makes, as an earlier version did.
    #[test]
    fn earlier_ids_do_not_reveal_the_next_one() {
        let errors = || u64::from_str_radix(&error_id(), 16).unwrap();
        let unmixed = |id: u64| {
            const INVERSE: u64 = 0xf1de_83e1_9937_733d;
            let mixed = id.wrapping_mul(INVERSE);
            mixed ^ (mixed >> 32)
        };
        for mut next in
            [Box::new(errors) as Box<dyn FnMut() -> u64>, Box::new(|| ConnectionId::next().0)]
        {
            let lines: Vec<_> = (0..1_000).map(|_| unmixed(next())).collect();
            let steps = lines.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
            let steps: HashSet<_> = steps.collect();
            assert!(steps.len() > 950, "only {} different steps", steps.len());
        }
    }

    #[test]
    fn an_id_is_displayed_as_sixteen_digits() {
        assert_eq!(ConnectionId(0xff).to_string(), "00000000000000ff");
        assert_eq!(serde_json::to_string(&ConnectionId(1)).unwrap(), "\"0000000000000001\"");
    }
}
