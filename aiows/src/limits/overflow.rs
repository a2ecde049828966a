//! What happens to a message if the queue of its recipient is full.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The policy of a server for messages to a client that reads too slowly.
///
/// The policy applies when the outbound queue of the connection is full. Set it for all messages
/// with [`Limits::overflow`](crate::Limits::overflow), and for one message type with
/// `#[aiows(delivery = "..")]` of [`Message`](trait@crate::Message). The chapter *Slow clients* of
/// the guide compares the policies.
///
/// ```
/// use aiows::messages::Overflow;
/// use aiows::Limits;
///
/// let mut limits = Limits::default();
/// assert_eq!(limits.overflow, Overflow::Disconnect);
/// limits.overflow = Overflow::DropOldest;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Closes the connection with 1008, `Slow client detected`. This is the default.
    #[default]
    Disconnect,
    /// Drops the new message. The sender gets no error.
    DropNewest,
    /// Drops the oldest messages that are not partly written, until the new one fits. Their senders
    /// get no error.
    ///
    /// As the policy of a server, it drops no answers, no questions, and no messages of a type with
    /// a policy of its own. As the policy of a message type, it drops only messages of that type.
    /// If none of these wait, the new message is dropped.
    DropOldest,
    /// Returns [`SendError::Full`](crate::error::SendError::Full) to the sender. The connection
    /// stays open.
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

    /// Returns whether the policy may drop a message with no other trace than the log.
    pub(crate) fn drops(self) -> bool {
        matches!(self, Self::DropNewest | Self::DropOldest)
    }
}

/// The overflow rule of one message, in place of the server's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub enum Rule {
    #[default]
    Server,
    Policy(Overflow),
    /// Drops older messages of the same kind.
    DropOldest(Kind),
    /// Replaces an unsent message with the same key.
    Latest(CoalesceKey),
    /// The rule of an answer or a question, which no policy drops. It has the key of its message
    /// type, if there is one.
    Kept(Option<CoalesceKey>),
}

/// A message type that drops its own oldest messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Kind(u32);

/// The kind of one message type, assigned at its first use. Each type has a static of its own.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct KindOf(AtomicU32);

/// The rule that may drop a message while it waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The policy of the server.
    Server,
    /// No rule: the message is an answer or a question, or its type has a policy of its own other
    /// than `DropOldest`.
    Kept,
    /// Later messages of its own type.
    Own(Kind),
}

/// A message type and a key, as 128 bits under two random keys of this process.
///
/// A client that chooses keys cannot aim for a collision. By chance, one message in 10^30 replaces
/// another message with a different key.
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

    /// Returns the rule of a type that drops its own oldest messages.
    #[must_use]
    pub fn drop_oldest(kind: &'static KindOf) -> Self {
        Self::DropOldest(kind.get())
    }

    /// Returns the rule of an answer or a question of the same message type.
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
    fn keys_differ_by_message_type_and_key() {
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
