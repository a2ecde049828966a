//! What happens to a message that finds no room in the queue of its peer.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;

/// What a server does with a message for a peer that does not read as fast as it is sent to.
///
/// It acts when the connection's outbound queue has no room; see
/// [`Limits::overflow`](crate::Limits::overflow) for all messages, and
/// `#[aiows(delivery = "..")]` of [`Message`](macro@crate::Message) for those of one type. The guide has
/// a chapter on it, *Slow clients*.
///
/// ```
/// use aiows::{Limits, Overflow};
///
/// let mut limits = Limits::default();
/// assert_eq!(limits.overflow, Overflow::Disconnect);
/// limits.overflow = Overflow::DropOldest;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The connection is closed with 1008, `Slow client detected`: the default.
    #[default]
    Disconnect,
    /// The new message is dropped, and its sender told nothing.
    DropNewest,
    /// The oldest messages that are not begun to be written make room, and their senders are told
    /// nothing.
    DropOldest,
    /// The sender gets [`SendError::Full`](crate::SendError::Full), and the connection lives.
    Reject,
}

impl Overflow {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::DropNewest => "drop_newest",
            Self::DropOldest => "drop_oldest",
            Self::Reject => "reject",
        }
    }

    /// Whether a message may get lost without a word to anybody but the log.
    pub(crate) fn drops(self) -> bool {
        matches!(self, Self::DropNewest | Self::DropOldest)
    }
}

/// What one message wants in place of the server's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub enum Rule {
    #[default]
    Server,
    Policy(Overflow),
    /// It takes the place of an unsent message of the same slot.
    Latest(Slot),
}

/// A message type and a key, as 128 bits under two random keys of this process.
///
/// Who chooses keys cannot aim at a collision, and by chance one message in 10^30 replaces another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Slot(u64, u64);

impl Rule {
    #[must_use]
    pub fn latest<K: Hash + ?Sized>(message_type: &str, key: &K) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [one, other] = KEYS.each_ref().map(|keys| keys.hash_one((message_type, key)));
        Self::Latest(Slot(one, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_told_apart_by_type_and_key() {
        assert_eq!(Rule::latest("tick", "AAPL"), Rule::latest("tick", &"AAPL".to_owned()));
        assert_ne!(Rule::latest("tick", "AAPL"), Rule::latest("tick", "MSFT"));
        assert_ne!(Rule::latest("tick", "AAPL"), Rule::latest("quote", "AAPL"));
        assert_ne!(Rule::latest("ab", "c"), Rule::latest("a", "bc"));
    }
}
