//! The users that are listed in one room, and the connections that each of them has there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use crate::id::ConnectionId;

/// A user is listed from the first of these connections to the last one, and a while longer if that
/// one's client has gone by itself.
#[derive(Debug, Default)]
pub(super) struct Tabs {
    users: HashMap<ConnectionId, Arc<str>>,
    spells: HashMap<Arc<str>, Spell>,
    /// Users without a connection, in the order in which they are given up.
    awaited: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Debug, Default)]
struct Spell {
    tabs: usize,
    awaited_until: Option<Instant>,
}

/// How long a user stays listed without a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    pub(super) until: Instant,
    /// Users of one room that are awaited at the same time; more are given up at once.
    pub(super) max: usize,
}

/// What the end of a connection is for its user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It stood for no user.
    NoTab,
    /// The user stays listed, has other connections or is awaited.
    Stays,
    Last(Arc<str>),
}

impl Tabs {
    pub(super) fn user_of(&self, id: ConnectionId) -> Option<&Arc<str>> {
        self.users.get(&id)
    }

    /// Adds a connection that stands for no user yet.
    pub(super) fn open(&mut self, id: ConnectionId, user: &Arc<str>) {
        self.users.insert(id, Arc::clone(user));
        let spell = self.spells.entry(Arc::clone(user)).or_default();
        spell.tabs += 1;
        if let Some(until) = spell.awaited_until.take() {
            self.awaited.remove(&(until, Arc::clone(user)));
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId, grace: Option<Grace>) -> Closed {
        let Some(user) = self.users.remove(&id) else { return Closed::NoTab };
        let Some(spell) = self.spells.get_mut(&user) else { return Closed::Last(user) };
        spell.tabs -= 1;
        if spell.tabs > 0 {
            return Closed::Stays;
        }
        match grace {
            Some(Grace { until, max }) if self.awaited.len() < max => {
                spell.awaited_until = Some(until);
                self.awaited.insert((until, user));
                Closed::Stays
            }
            _ => {
                self.spells.remove(&user);
                Closed::Last(user)
            }
        }
    }

    /// When the next user is given up.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.awaited.first().map(|(until, _)| *until)
    }

    /// Takes a user that has not come back in time.
    pub(super) fn take_ended(&mut self, now: Instant) -> Option<Arc<str>> {
        let ended = self.awaited.first().is_some_and(|(until, _)| *until <= now);
        let (_, user) = ended.then(|| self.awaited.pop_first())??;
        self.spells.remove(&user);
        Some(user)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_user_is_there_from_the_first_connection_to_the_end_of_the_grace() {
        let (one, two) = (ConnectionId::next(), ConnectionId::next());
        let (ann, mut tabs) = (Arc::<str>::from("ann"), Tabs::default());
        let until = Instant::now() + Duration::from_secs(2);
        let grace = |max| Some(Grace { until, max });
        tabs.open(one, &ann);
        tabs.open(two, &ann);
        assert_eq!(tabs.close(one, grace(1)), Closed::Stays);
        assert_eq!(tabs.close(one, grace(1)), Closed::NoTab);
        assert_eq!((tabs.close(two, grace(1)), tabs.next_end()), (Closed::Stays, Some(until)));
        assert_eq!(tabs.take_ended(until - Duration::from_nanos(1)), None);
        tabs.open(one, &ann);
        assert_eq!((tabs.next_end(), tabs.take_ended(until)), (None, None));
        assert_eq!(tabs.close(one, None), Closed::Last(Arc::clone(&ann)));
        tabs.open(two, &ann);
        // No more are awaited than the limit says.
        assert_eq!(tabs.close(two, grace(0)), Closed::Last(Arc::clone(&ann)));
        tabs.open(two, &ann);
        assert_eq!(tabs.close(two, grace(1)), Closed::Stays);
        assert_eq!(tabs.take_ended(until), Some(ann));
        assert!(tabs.users.is_empty() && tabs.spells.is_empty() && tabs.awaited.is_empty());
    }
}
