//! Named groups of connections: rooms, the connections of each user, and connection names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::listed_users::Grace;
use super::presence::{Changes, GraceWait, ListProgress, Presence};
use crate::id::ConnectionId;
use crate::websocket::{Info, Listing, Members, WebSocket};

/// Groups by name. A group exists as long as it has members.
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
    /// `members` as a list, so that senders hold no lock; taken when the members change.
    snapshot: Option<Members>,
    /// Created when the first member joins with a description.
    presence: Option<Box<Presence>>,
    /// Set when the last member has left and the group is no longer found by name. A caller that
    /// still holds the group must look it up again.
    is_gone: bool,
}

/// The group has reached its maximum number of members.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The result of a change of a group.
#[derive(Debug, Default)]
#[must_use = "drop it where no lock is held"]
pub(super) struct Changed {
    /// Set if the caller must spawn a task that announces the change.
    pub(super) announcement: Option<PendingAnnouncement>,
    /// Whether the first member joined or the last one left.
    pub(super) is_first_or_last: bool,
    /// Values that the group no longer holds. They may include the last handle on a connection, and
    /// with it values of the application. Their destructors may use this group or the changed
    /// connection, so the caller drops them once it holds no lock.
    _released: (Option<WebSocket>, Option<Members>),
}

/// The right and duty to announce the changes of a group. If it is dropped early, the next change
/// creates another one.
#[derive(Debug)]
pub(super) struct PendingAnnouncement {
    group: Arc<Group>,
    is_over: bool,
}

/// The next step of an announcement task.
#[derive(Debug)]
pub(super) enum NextStep {
    Announce(Members, Changes),
    Wait(GraceWait),
    End,
}

// Lock order: the names, then a group. Both are held together only while an empty group is removed.
impl Groups {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.lock().get(name).cloned()
    }

    fn find_or_create(&self, name: &str) -> Arc<Group> {
        let mut groups = self.lock();
        if let Some(group) = groups.get(name) {
            return Arc::clone(group);
        }
        let name: Arc<str> = name.into();
        let group = Arc::new(Group { name: Arc::clone(&name), state: Mutex::default() });
        groups.insert(name, Arc::clone(&group));
        group
    }

    /// Adds a member, and lists it if there is a `listing`. Returns the group's own copy of its
    /// name.
    ///
    /// # Errors
    ///
    /// `Full` if the group already has `max` members.
    pub(super) fn add(
        &self,
        name: &str,
        socket: &WebSocket,
        listing: Option<Listing>,
        max: usize,
    ) -> Result<(Arc<str>, Changed), Full> {
        loop {
            let group = self.find_or_create(name);
            let mut state = group.lock();
            if state.is_gone {
                continue;
            }
            if state.members.len() >= max && !state.members.contains_key(&socket.id()) {
                return Err(Full);
            }
            let is_new = state.members.insert(socket.id(), socket.clone()).is_none();
            let snapshot = if is_new { state.snapshot.take() } else { None };
            let needs_task = listing.is_some_and(|listing| {
                state.presence.get_or_insert_default().join(socket.id(), listing)
            });
            let is_first_or_last = is_new && state.members.len() == 1;
            drop(state);
            let announcement = needs_task.then(|| PendingAnnouncement::of(&group));
            let changed = Changed { announcement, is_first_or_last, _released: (None, snapshot) };
            return Ok((Arc::clone(&group.name), changed));
        }
    }

    /// Removes a member, and the group after the last one. If `grace` is given, the member's user
    /// stays listed until the grace period ends.
    pub(super) fn remove(&self, name: &str, id: ConnectionId, grace: Option<Grace>) -> Changed {
        let Some(group) = self.find(name) else {
            return Changed::default();
        };
        let mut state = group.lock();
        let needs_task = state.presence.as_mut().is_some_and(|presence| presence.leave(id, grace));
        let released = (state.members.remove(&id), state.snapshot.take());
        let is_empty = state.members.is_empty();
        let is_first_or_last = is_empty && released.0.is_some();
        drop(state);
        let mut announcement = needs_task.then(|| PendingAnnouncement::of(&group));
        if is_empty && self.remove_empty(&group) {
            announcement = None;
        }
        Changed { announcement, is_first_or_last, _released: released }
    }

    /// Stops listing a member for its user.
    pub(super) fn forget_user(&self, name: &str, id: ConnectionId) -> Changed {
        let Some(group) = self.find(name) else {
            return Changed::default();
        };
        let mut state = group.lock();
        let needs_task = state.presence.as_mut().is_some_and(|presence| presence.forget_user(id));
        drop(state);
        Changed {
            announcement: needs_task.then(|| PendingAnnouncement::of(&group)),
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

    /// Returns the members of a group; no members if there is no such group.
    pub(super) fn members(&self, name: &str) -> Members {
        let Some(group) = self.find(name) else {
            return Members::default();
        };
        group.lock().list()
    }

    /// Returns the descriptions of the listed members of a group.
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
        let Self { members, snapshot, .. } = self;
        Arc::clone(snapshot.get_or_insert_with(|| members.values().cloned().collect()))
    }
}

impl PendingAnnouncement {
    fn of(group: &Arc<Group>) -> Self {
        Self { group: Arc::clone(group), is_over: false }
    }

    pub(super) fn room(&self) -> &str {
        &self.group.name
    }

    /// Takes the changes to announce. If there are none, the task ends or waits for users in their
    /// grace period.
    pub(super) fn next(&mut self, progress: impl Fn(&ConnectionId) -> ListProgress) -> NextStep {
        let mut state = self.group.lock();
        let changes = state.presence.as_mut().and_then(|presence| presence.take(progress));
        if let Some(changes) = changes {
            return NextStep::Announce(state.list(), changes);
        }
        self.is_over = true;
        if let Some(wait) = state.presence.as_mut().and_then(|presence| presence.wait()) {
            return NextStep::Wait(wait);
        }
        state.presence.take_if(|presence| presence.is_empty());
        NextStep::End
    }

    /// Continues after a wait. Returns `false` if another task took over, or if no user is in its
    /// grace period any more.
    pub(super) fn resume(&mut self, over: &mut oneshot::Receiver<()>) -> bool {
        let mut state = self.group.lock();
        let continues = state.presence.as_mut().is_some_and(|presence| presence.end_wait(over));
        self.is_over = !continues;
        continues
    }

    /// Discards the changes and keeps the right, so that no other announcement begins. Members that
    /// leave while the server stops then cost the same, however many there are.
    pub(super) fn cancel(mut self) {
        self.is_over = true;
    }

    /// Records the members that now have the list and those that missed an announcement.
    pub(super) fn record_sent(&self, caught_up: &[ConnectionId], missed: Vec<ConnectionId>) {
        let mut state = self.group.lock();
        let State { members, presence, .. } = &mut *state;
        if let Some(presence) = presence {
            presence.note_caught_up(caught_up);
            // Members that have left in the meantime need no list.
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
            // The changes were taken but may not have been sent.
            presence.note_behind(members.keys().copied());
            presence.release_task();
        }
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
