//! Connections under names: the rooms, and those of each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::listed_users::Grace;
use super::presence::{Changes, Presence, Progress, Wait};
use crate::id::ConnectionId;
use crate::websocket::{Info, Listing, Members, WebSocket};

/// Groups by their names; a group is there as long as it has members.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Mutex<HashMap<Arc<str>, Arc<Group>>>,
}

#[derive(Debug)]
pub(super) struct Group {
    name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: HashMap<ConnectionId, WebSocket>,
    /// `members` as a list, until they change: a sender holds no lock while it sends.
    listed: Option<Members>,
    /// Made for the first member that is listed.
    presence: Option<Box<Presence>>,
    /// The last member has left, and with it the group's name: whoever still holds the group looks
    /// it up again.
    is_gone: bool,
}

/// A group has as many members as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What a change of a group leaves to its caller.
#[derive(Debug, Default)]
#[must_use = "it is dropped where no lock is held"]
pub(super) struct Changed {
    /// Somebody has to tell the group after a while.
    pub(super) gathering: Option<PendingAnnouncement>,
    /// The first member has come, or the last one has left.
    pub(super) is_edge: bool,
    /// What the group no longer keeps. It may hold the last handle on a connection and with it values
    /// of the application, whose destructors may use this group, or the connection that was changed.
    _released: (Option<WebSocket>, Option<Members>),
}

/// Says that the changes of a group will be taken; when it is dropped early, others may.
#[derive(Debug)]
pub(super) struct PendingAnnouncement {
    group: Arc<Group>,
    is_over: bool,
}

/// What a gathering does next.
#[derive(Debug)]
pub(super) enum Next {
    Tell(Members, Changes),
    Wait(Wait),
    End,
}

// The lock of the names and that of a group are never held together, but for the removal of an
// empty one: names first, then the group.
impl Groups {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.lock().get(name).cloned()
    }

    fn find_or_make(&self, name: &str) -> Arc<Group> {
        let mut groups = self.lock();
        if let Some(group) = groups.get(name) {
            return Arc::clone(group);
        }
        let name: Arc<str> = name.into();
        let group = Arc::new(Group { name: Arc::clone(&name), state: Mutex::default() });
        groups.insert(name, Arc::clone(&group));
        group
    }

    /// Adds a member, and lists it if there is something to say about it. Returns the group's own
    /// copy of its name.
    ///
    /// # Errors
    ///
    /// `Full` when the group has `max` members already.
    pub(super) fn add(
        &self,
        name: &str,
        socket: &WebSocket,
        listing: Option<Listing>,
        max: usize,
    ) -> Result<(Arc<str>, Changed), Full> {
        loop {
            let group = self.find_or_make(name);
            let mut state = group.lock();
            if state.is_gone {
                continue;
            }
            if state.members.len() >= max && !state.members.contains_key(&socket.id()) {
                return Err(Full);
            }
            let is_new = state.members.insert(socket.id(), socket.clone()).is_none();
            let listed = if is_new { state.listed.take() } else { None };
            let gathers = listing.is_some_and(|listing| {
                state.presence.get_or_insert_default().join(socket.id(), listing)
            });
            let is_edge = is_new && state.members.len() == 1;
            drop(state);
            let gathering = gathers.then(|| PendingAnnouncement::of(&group));
            let changed = Changed { gathering, is_edge, _released: (None, listed) };
            return Ok((Arc::clone(&group.name), changed));
        }
    }

    /// Removes a member, and the group with the last one. With a grace its user stays listed for a
    /// while.
    pub(super) fn remove(&self, name: &str, id: ConnectionId, grace: Option<Grace>) -> Changed {
        let Some(group) = self.find(name) else {
            return Changed::default();
        };
        let mut state = group.lock();
        let gathers = state.presence.as_mut().is_some_and(|presence| presence.leave(id, grace));
        let released = (state.members.remove(&id), state.listed.take());
        let is_empty = state.members.is_empty();
        let is_edge = is_empty && released.0.is_some();
        drop(state);
        let mut gathering = gathers.then(|| PendingAnnouncement::of(&group));
        if is_empty && self.remove_empty(&group) {
            gathering = None;
        }
        Changed { gathering, is_edge, _released: released }
    }

    /// Lists a member no longer as its user.
    pub(super) fn forget_user(&self, name: &str, id: ConnectionId) -> Changed {
        let Some(group) = self.find(name) else {
            return Changed::default();
        };
        let mut state = group.lock();
        let gathers = state.presence.as_mut().is_some_and(|presence| presence.forget_user(id));
        drop(state);
        Changed {
            gathering: gathers.then(|| PendingAnnouncement::of(&group)),
            ..Changed::default()
        }
    }

    fn remove_empty(&self, group: &Arc<Group>) -> bool {
        let mut groups = self.lock();
        let mut state = group.lock();
        if state.members.is_empty() && !state.is_gone {
            state.is_gone = true;
            state.presence = None;
            groups.remove(&group.name);
        }
        state.is_gone
    }

    /// The members of a group; none when there is no such group.
    pub(super) fn members(&self, name: &str) -> Members {
        let Some(group) = self.find(name) else {
            return Members::default();
        };
        group.lock().list()
    }

    /// What is said about the listed members of a group.
    pub(super) fn infos(&self, name: &str) -> Vec<Info> {
        let group = self.find(name);
        let infos = group.and_then(|group| group.lock().presence.as_ref().map(|it| it.infos()));
        infos.unwrap_or_default()
    }

    pub(super) fn size(&self, name: &str) -> usize {
        self.find(name).map_or(0, |group| group.lock().members.len())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock().keys().map(|name| name.as_ref().to_owned()).collect()
    }
}

impl State {
    fn list(&mut self) -> Members {
        let Self { members, listed, .. } = self;
        Arc::clone(listed.get_or_insert_with(|| members.values().cloned().collect()))
    }
}

impl PendingAnnouncement {
    fn of(group: &Arc<Group>) -> Self {
        Self { group: Arc::clone(group), is_over: false }
    }

    pub(super) fn room(&self) -> &str {
        &self.group.name
    }

    /// Takes what the group is to be told; else the gathering is over, or waits for users.
    pub(super) fn next(&mut self, progress: impl Fn(&ConnectionId) -> Progress) -> Next {
        let mut state = self.group.lock();
        let changes = state.presence.as_mut().and_then(|presence| presence.take(progress));
        if let Some(changes) = changes {
            return Next::Tell(state.list(), changes);
        }
        self.is_over = true;
        if let Some(wait) = state.presence.as_mut().and_then(|presence| presence.wait()) {
            return Next::Wait(wait);
        }
        state.presence.take_if(|presence| presence.is_empty());
        Next::End
    }

    /// Gathers again after a wait; `false` if others do, or nobody is awaited any more.
    pub(super) fn resume(&mut self, over: &mut oneshot::Receiver<()>) -> bool {
        let mut state = self.group.lock();
        let gathers = state.presence.as_mut().is_some_and(|presence| presence.end_wait(over));
        self.is_over = !gathers;
        gathers
    }

    /// Takes no changes, and lets no other gathering begin: the room is not told any more. So each
    /// member that leaves costs the same, however many there are.
    pub(super) fn forget(mut self) {
        self.is_over = true;
    }

    /// Notes who has the list now, and who has missed an announcement.
    pub(super) fn note(&self, caught_up: &[ConnectionId], missed: Vec<ConnectionId>) {
        let mut state = self.group.lock();
        let State { members, presence, .. } = &mut *state;
        if let Some(presence) = presence {
            presence.note_caught_up(caught_up);
            // Who has left meanwhile needs nothing.
            presence.note_behind(missed.into_iter().filter(|id| members.contains_key(id)));
        }
    }
}

impl Drop for PendingAnnouncement {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.group.lock();
        let State { members, presence, .. } = &mut *state;
        if let Some(presence) = presence {
            // What was taken may not have been told.
            presence.note_behind(members.keys().copied());
            presence.give_up();
        }
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
