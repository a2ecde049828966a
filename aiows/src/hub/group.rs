//! Connections under names: the rooms, and those of each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::ConnectionId;
use crate::websocket::{Members, WebSocket};

/// Groups by their names; a group is there as long as it has members.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Mutex<HashMap<Arc<str>, Arc<Group>>>,
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: HashMap<ConnectionId, WebSocket>,
    /// `members` as a list, until they change: a sender holds no lock while it sends.
    listed: Option<Members>,
    /// The last member has left, and with it the group's name: whoever still holds the group looks
    /// it up again.
    is_gone: bool,
}

/// A group has as many members as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

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

    /// Adds a member, and returns the group's own copy of its name.
    ///
    /// # Errors
    ///
    /// `Full` when the group has `max` members already.
    pub(super) fn add(&self, name: &str, socket: &WebSocket, max: usize) -> Result<Arc<str>, Full> {
        loop {
            let group = self.find_or_make(name);
            let mut state = group.lock();
            if state.is_gone {
                continue;
            }
            if state.members.len() >= max && !state.members.contains_key(&socket.id()) {
                return Err(Full);
            }
            state.members.insert(socket.id(), socket.clone());
            let listed = state.listed.take();
            drop(state);
            // Outside of the lock: it may hold the last handle on a connection, and values of the
            // application with it.
            drop(listed);
            return Ok(Arc::clone(&group.name));
        }
    }

    /// Removes a member, and the group with the last one.
    pub(super) fn remove(&self, name: &str, id: ConnectionId) {
        let Some(group) = self.find(name) else {
            return;
        };
        let mut state = group.lock();
        let removed = (state.members.remove(&id), state.listed.take());
        let is_empty = state.members.is_empty();
        drop(state);
        drop(removed);
        if is_empty {
            self.remove_empty(&group);
        }
    }

    fn remove_empty(&self, group: &Arc<Group>) {
        let mut groups = self.lock();
        let mut state = group.lock();
        if state.members.is_empty() && !state.is_gone {
            state.is_gone = true;
            groups.remove(&group.name);
        }
    }

    /// The members of a group; none when there is no such group.
    pub(super) fn members(&self, name: &str) -> Members {
        let Some(group) = self.find(name) else {
            return Members::default();
        };
        let mut state = group.lock();
        let State { members, listed, .. } = &mut *state;
        Arc::clone(listed.get_or_insert_with(|| members.values().cloned().collect()))
    }

    pub(super) fn size(&self, name: &str) -> usize {
        self.find(name).map_or(0, |group| group.lock().members.len())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock().keys().map(|name| name.as_ref().to_owned()).collect()
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
