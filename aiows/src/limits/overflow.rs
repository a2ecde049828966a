//! What happens to a message that finds no room in the queue of its peer.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a server does with a message for a peer that does not read as fast as it is sent to.
///
/// It acts when the connection's outbound queue has no room; see
/// [`Limits::overflow`](crate::Limits::overflow) for all messages, and
/// `#[aiows(delivery = "..")]` of [`Message`](trait@crate::Message) for those of one type. The guide has
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
    /// nothing. As the policy of a server it drops no answer, no question and no message of a type
    /// with a policy of its own; as that of a type it drops only messages of the type. If none of
    /// these wait, the new message is dropped.
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
    /// It makes room by dropping older messages of the same kind.
    DropOldest(Kind),
    /// It takes the place of an unsent message with the same key.
    Latest(CoalesceKey),
    /// An answer or a question, which no policy drops; with the key of its type, if it has one.
    Kept(Option<CoalesceKey>),
}

/// Tells the message types apart that drop their oldest messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Kind(u32);

/// The kind of one message type, chosen when it is first used; a static of its own for each type.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct KindOf(AtomicU32);

/// Who may drop a message that waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The policy of the server.
    Server,
    /// Nobody: it answers or asks something, or its sender would have been told.
    Kept,
    /// Later messages of its own type.
    Own(Kind),
}

/// A message type and a key, as 128 bits under two random keys of this process.
///
/// Who chooses keys cannot aim at a collision, and by chance one message in 10^30 replaces another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(hidden)]
pub struct CoalesceKey(u64, u64);

impl Rule {
    #[must_use]
    pub fn latest<K: Hash + ?Sized>(message_type: &str, key: &K) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [one, other] = KEYS.each_ref().map(|keys| keys.hash_one((message_type, key)));
        Self::Latest(CoalesceKey(one, other))
    }

    /// The rule of a type that drops its own oldest messages.
    #[must_use]
    pub fn drop_oldest(kind: &'static KindOf) -> Self {
        Self::DropOldest(kind.get())
    }

    /// The rule of a message of the same type that answers or asks something.
    pub(crate) fn kept(self) -> Self {
        match self {
            Self::Latest(key) | Self::Kept(Some(key)) => Self::Kept(Some(key)),
            Self::Server | Self::Policy(_) | Self::DropOldest(_) | Self::Kept(None) => {
                Self::Kept(None)
            }
        }
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Server | Self::Latest(_) => Class::Server,
            Self::Policy(_) | Self::Kept(_) => Class::Kept,
            Self::DropOldest(kind) => Class::Own(kind),
        }
    }
}

impl KindOf {
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn get(&self) -> Kind {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        match self.0.load(Ordering::Relaxed) {
            0 => {
                let new = NEXT.fetch_add(1, Ordering::Relaxed);
                let won = self.0.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
                Kind(won.map_or_else(|first| first, |_| new))
            }
            known => Kind(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_type_and_key() {
        assert_eq!(Rule::latest("tick", "AAPL"), Rule::latest("tick", &"AAPL".to_owned()));
        assert_ne!(Rule::latest("tick", "AAPL"), Rule::latest("tick", "MSFT"));
        assert_ne!(Rule::latest("tick", "AAPL"), Rule::latest("quote", "AAPL"));
        assert_ne!(Rule::latest("ab", "c"), Rule::latest("a", "bc"));
    }

    #[test]
    fn each_type_has_a_kind_of_its_own() {
        static ONE: KindOf = KindOf::new();
        static OTHER: KindOf = KindOf::new();
        assert_eq!(Rule::drop_oldest(&ONE), Rule::drop_oldest(&ONE));
        assert_ne!(Rule::drop_oldest(&ONE), Rule::drop_oldest(&OTHER));
    }
}
