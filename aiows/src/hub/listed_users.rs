//! The users that are listed in one room, and the connections of each.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use crate::id::ConnectionId;

/// A user is listed while it has a connection here. If the client of its last connection
/// disconnects by itself, the user stays listed for a grace period.
#[derive(Debug, Default)]
pub(super) struct ListedUsers {
    /// The user that each connection is listed for.
    by_connection: HashMap<ConnectionId, Arc<str>>,
    entries: HashMap<Arc<str>, ListedUser>,
    /// Users without a connection, ordered by the end of their grace period.
    in_grace: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Debug, Default)]
struct ListedUser {
    connections: usize,
    /// When its grace period ends; `None` while it has connections.
    expires: Option<Instant>,
}

/// How long a user stays listed without a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    pub(super) until: Instant,
    /// How many users of one room may be in their grace period at the same time; further users are
    /// removed at once.
    pub(super) max: usize,
}

/// The effect of removing a connection on its user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// The connection was not listed for a user.
    NotListed,
    /// The user stays listed: it has other connections, or its grace period has begun.
    StillListed,
    /// The user is no longer listed.
    Last(Arc<str>),
}

impl ListedUsers {
    pub(super) fn user_of(&self, id: ConnectionId) -> Option<&Arc<str>> {
        self.by_connection.get(&id)
    }

    /// Adds a connection that is not listed for any user yet.
    pub(super) fn add(&mut self, id: ConnectionId, user: &Arc<str>) {
        self.by_connection.insert(id, Arc::clone(user));
        let entry = self.entries.entry(Arc::clone(user)).or_default();
        entry.connections += 1;
        if let Some(until) = entry.expires.take() {
            self.in_grace.remove(&(until, Arc::clone(user)));
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId, grace: Option<Grace>) -> Removal {
        let Some(user) = self.by_connection.remove(&id) else { return Removal::NotListed };
        let Some(entry) = self.entries.get_mut(&user) else { return Removal::Last(user) };
        entry.connections -= 1;
        if entry.connections > 0 {
            return Removal::StillListed;
        }
        match grace {
            Some(Grace { until, max }) if self.in_grace.len() < max => {
                entry.expires = Some(until);
                self.in_grace.insert((until, user));
                Removal::StillListed
            }
            _ => {
                self.entries.remove(&user);
                Removal::Last(user)
            }
        }
    }

    /// Returns when the next grace period ends.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.in_grace.first().map(|(until, _)| *until)
    }

    /// Removes and returns a user whose grace period is over.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Arc<str>> {
        let ended = self.in_grace.first().is_some_and(|(until, _)| *until <= now);
        let (_, user) = ended.then(|| self.in_grace.pop_first())??;
        self.entries.remove(&user);
        Some(user)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_user_is_listed_from_its_first_connection_to_the_end_of_the_grace_period() {
        let (one, two) = (ConnectionId::next(), ConnectionId::next());
        let (ann, mut users) = (Arc::<str>::from("ann"), ListedUsers::default());
        let until = Instant::now() + Duration::from_secs(2);
        let grace = |max| Some(Grace { until, max });
        users.add(one, &ann);
        users.add(two, &ann);
        assert_eq!(users.remove(one, grace(1)), Removal::StillListed);
        assert_eq!(users.remove(one, grace(1)), Removal::NotListed);
        assert_eq!(
            (users.remove(two, grace(1)), users.next_expiry()),
            (Removal::StillListed, Some(until))
        );
        assert_eq!(users.take_expired(until - Duration::from_nanos(1)), None);
        users.add(one, &ann);
        assert_eq!((users.next_expiry(), users.take_expired(until)), (None, None));
        assert_eq!(users.remove(one, None), Removal::Last(Arc::clone(&ann)));
        users.add(two, &ann);
        // At most `max` users are in their grace period.
        assert_eq!(users.remove(two, grace(0)), Removal::Last(Arc::clone(&ann)));
        users.add(two, &ann);
        assert_eq!(users.remove(two, grace(1)), Removal::StillListed);
        assert_eq!(users.take_expired(until), Some(ann));
        assert!(
            users.by_connection.is_empty() && users.entries.is_empty() && users.in_grace.is_empty()
        );
    }
}
