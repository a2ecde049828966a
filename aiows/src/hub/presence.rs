//! The listed members of one room, and the changes that are not announced yet.

use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::listed_users::{Grace, ListedUsers, Removal};
use crate::id::ConnectionId;
use crate::websocket::{Info, Listing};

/// The listed members of one room. It is empty if all of them have left.
#[derive(Debug, Default)]
pub(super) struct Presence {
    listed: HashMap<Key, Listed>,
    users: ListedUsers,
    /// Members to announce; all of them are listed.
    joined: HashSet<Key>,
    /// Announced members that have left since. There are at most as many as the last announcement
    /// listed.
    left: HashMap<Key, Info>,
    /// Members listed since the last announcement; they get the whole list.
    newcomers: HashSet<ConnectionId>,
    /// Members that need the list because they are new or missed an announcement. They stay here
    /// until the whole list is in their queues.
    behind: HashSet<ConnectionId>,
    /// Set while a task is about to take the changes.
    has_task: bool,
    /// Dropped to end the wait for users in their grace period, if none are left or the room is
    /// gone.
    waiting: Option<oneshot::Sender<()>>,
}

/// Identifies one entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Connection(ConnectionId),
    User(Arc<str>),
}

/// A wait for the end of the next grace period.
#[derive(Debug)]
pub(super) struct GraceWait {
    pub(super) until: Instant,
    /// Closed when the wait is no longer needed.
    pub(super) over: oneshot::Receiver<()>,
}

/// How much of a list a member has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListProgress {
    None,
    /// Its queue has no room for the first part yet. It gets a newer list after the next change.
    Waiting,
    Begun,
}

#[derive(Debug)]
struct Listed {
    info: Info,
    /// The description in the last announcement; `None` before the first one.
    announced: Option<Info>,
}

/// The changes of one announcement.
#[derive(Debug)]
pub(super) struct Changes {
    /// Members that are listed for the first time; they get the whole list.
    pub(super) newcomers: HashSet<ConnectionId>,
    /// Members that get the list or the rest of it; all others get the changes.
    pub(super) behind: HashSet<ConnectionId>,
    /// Members that are new or have a new description.
    pub(super) joined: Vec<(Key, Info)>,
    pub(super) left: Vec<(Key, Info)>,
    /// Every listed member, if some member begins with the list.
    pub(super) listed: Option<Vec<Info>>,
}

impl Changes {
    /// Whether some member joined or left.
    pub(super) fn is_any(&self) -> bool {
        !self.joined.is_empty() || !self.left.is_empty()
    }
}

impl Presence {
    /// Lists a member, or replaces its description. Returns `true` if the caller must start a task
    /// that takes the changes.
    pub(super) fn join(&mut self, id: ConnectionId, Listing { user, info }: Listing) -> bool {
        let key = user.map_or(Key::Connection(id), Key::User);
        let before = self.key_of(id);
        let is_new = before.is_none() || self.newcomers.contains(&id);
        if before.as_ref() != Some(&key) {
            self.unlist(id, None);
            if let Key::User(user) = &key {
                self.users.add(id, user);
                // The wait ends if this was the last user in its grace period.
                self.waiting.take_if(|_| self.users.next_expiry().is_none());
            }
        }
        if is_new {
            self.newcomers.insert(id);
        }
        self.list(key, info);
        self.claim_if_needed()
    }

    /// Removes a member; returns `true` as [`join`](Self::join) does.
    pub(super) fn leave(&mut self, id: ConnectionId, grace: Option<Grace>) -> bool {
        self.behind.remove(&id);
        self.unlist(id, grace);
        self.claim_if_needed()
    }

    /// Stops listing a member for its user; returns `true` as [`join`](Self::join) does.
    pub(super) fn forget_user(&mut self, id: ConnectionId) -> bool {
        if self.users.user_of(id).is_some() {
            self.unlist(id, None);
        }
        self.claim_if_needed()
    }

    fn key_of(&self, id: ConnectionId) -> Option<Key> {
        match self.users.user_of(id) {
            Some(user) => Some(Key::User(Arc::clone(user))),
            None => Some(Key::Connection(id)).filter(|key| self.listed.contains_key(key)),
        }
    }

    fn list(&mut self, key: Key, info: Info) {
        let before = self.listed.get(&key);
        if before.is_some_and(|before| before.info.get() == info.get()) {
            return;
        }
        let announced = match (before, &key) {
            (Some(before), _) => before.announced.clone(),
            // The room has not been notified that the user left.
            (None, Key::User(_)) => self.left.remove(&key),
            (None, Key::Connection(_)) => None,
        };
        if announced.as_ref().is_some_and(|announced| announced.get() == info.get()) {
            self.joined.remove(&key);
        } else {
            self.joined.insert(key.clone());
        }
        self.listed.insert(key, Listed { info, announced });
    }

    /// Only announced users get a grace period.
    fn unlist(&mut self, id: ConnectionId, grace: Option<Grace>) {
        let Some(key) = self.key_of(id) else { return };
        self.newcomers.remove(&id);
        let is_told = self.listed.get(&key).is_some_and(|listed| listed.announced.is_some());
        match self.users.remove(id, grace.filter(|_| is_told)) {
            Removal::NotListed | Removal::Last(_) => self.remove(key),
            Removal::StillListed => {}
        }
    }

    fn remove(&mut self, key: Key) {
        self.joined.remove(&key);
        if let Some(Listed { announced: Some(announced), .. }) = self.listed.remove(&key) {
            self.left.insert(key, announced);
        }
    }

    fn has_changes(&self) -> bool {
        !(self.joined.is_empty()
            && self.left.is_empty()
            && self.newcomers.is_empty()
            && self.behind.is_empty())
    }

    /// Claims the task if there are changes or grace periods without a task. Returns `true` if the
    /// caller must start it.
    fn claim_if_needed(&mut self) -> bool {
        let is_awaited = self.users.next_expiry().is_some() && !self.is_waiting();
        (self.has_changes() || is_awaited) && self.claim_task()
    }

    fn is_waiting(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_closed())
    }

    /// Begins to wait for the end of a grace period; `None` if there is none, or another task
    /// waits.
    pub(super) fn wait(&mut self) -> Option<GraceWait> {
        let until = self.users.next_expiry().filter(|_| !self.is_waiting())?;
        let (waiting, over) = oneshot::channel();
        self.waiting = Some(waiting);
        Some(GraceWait { until, over })
    }

    /// Ends a wait after its time. Returns `true` if the waiting task now takes the changes.
    pub(super) fn end_wait(&mut self, over: &mut oneshot::Receiver<()>) -> bool {
        if over.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            return false;
        }
        self.waiting = None;
        self.claim_task()
    }

    fn claim_task(&mut self) -> bool {
        !std::mem::replace(&mut self.has_task, true)
    }

    /// Takes the changes, and releases the task if there are none. `progress` decides whether a
    /// member needs a new list.
    pub(super) fn take(
        &mut self,
        progress: impl Fn(&ConnectionId) -> ListProgress,
    ) -> Option<Changes> {
        while let Some(user) = self.users.take_expired(Instant::now()) {
            self.remove(Key::User(user));
        }
        if !self.has_changes() {
            self.has_task = false;
            return None;
        }
        let newcomers = take(&mut self.newcomers);
        let mut joined = Vec::new();
        for key in take(&mut self.joined) {
            let Some(listed) = self.listed.get_mut(&key) else { continue };
            listed.announced = Some(Info::clone(&listed.info));
            joined.push((key, Info::clone(&listed.info)));
        }
        self.behind.extend(&newcomers);
        let left = take(&mut self.left).into_iter().collect();
        let behind = self.behind.clone();
        let mut changes = Changes { newcomers, behind, joined, left, listed: None };
        let begins = |id: &ConnectionId| match progress(id) {
            ListProgress::None => true,
            ListProgress::Waiting => changes.is_any() || changes.newcomers.contains(id),
            ListProgress::Begun => changes.newcomers.contains(id),
        };
        if self.behind.iter().any(begins) {
            changes.listed = Some(self.infos());
        }
        Some(changes)
    }

    /// Records members that have received the whole list.
    pub(super) fn note_caught_up(&mut self, ids: &[ConnectionId]) {
        for id in ids {
            self.behind.remove(id);
        }
    }

    /// Records members that missed an announcement: they get the list next.
    pub(super) fn note_behind(&mut self, ids: impl IntoIterator<Item = ConnectionId>) {
        self.behind.extend(ids);
    }

    /// Lets the next change start a task.
    pub(super) fn release_task(&mut self) {
        self.has_task = false;
    }

    pub(super) fn infos(&self) -> Vec<Info> {
        self.listed.values().map(|listed| Info::clone(&listed.info)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::websocket::describe;

    fn info(id: ConnectionId, name: &str) -> Info {
        describe(&id.to_string(), &json!({ "name": name })).unwrap()
    }

    fn plain(id: ConnectionId, name: &str) -> Listing {
        Listing { user: None, info: info(id, name) }
    }

    fn texts(infos: &[(Key, Info)]) -> Vec<&str> {
        infos.iter().map(|(_, info)| info.get()).collect()
    }

    /// Takes the changes, and sends the list to every member that needs it.
    fn take(presence: &mut Presence) -> Option<Changes> {
        let changes = presence.take(|_| ListProgress::None)?;
        let listed: Vec<_> = changes.behind.iter().copied().collect();
        presence.note_caught_up(&listed);
        Some(changes)
    }

    #[test]
    fn a_member_is_its_id_and_its_description() {
        let id = ConnectionId::next();
        assert_eq!(info(id, "ann").get(), format!(r#"{{"id":"{id}","name":"ann"}}"#));
        assert_eq!(describe(&id.to_string(), &()).unwrap().get(), format!(r#"{{"id":"{id}"}}"#));
        for (about, text) in [
            (json!({ "id": 7 }), "the key `id` belongs to the head"),
            (json!("ann"), "a message is written as a JSON object"),
        ] {
            let error = describe(&id.to_string(), &about).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn one_announcement_has_the_sum_of_the_changes() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        assert!(presence.join(ann, plain(ann, "ann")));
        assert!(!presence.join(bob, plain(bob, "bob")));
        assert!(!presence.leave(bob, None));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.joined), [info(ann, "ann").get()]);
        assert_eq!(changes.listed.unwrap()[0].get(), info(ann, "ann").get());
        assert!(changes.left.is_empty());
        assert!(take(&mut presence).is_none());
        // An announced member is announced as gone, also if it came back and left again.
        assert!(presence.leave(ann, None));
        assert!(!presence.join(ann, plain(ann, "anna")));
        assert!(!presence.leave(ann, None));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.left), [info(ann, "ann").get()]);
        assert!(changes.joined.is_empty() && changes.newcomers.is_empty());
        assert!(take(&mut presence).is_none() && presence.is_empty());
    }

    #[test]
    fn joining_again_with_the_same_description_changes_no_list() {
        let ann = ConnectionId::next();
        let mut presence = Presence::default();
        assert!(presence.join(ann, plain(ann, "ann")));
        take(&mut presence).unwrap();
        assert!(!presence.join(ann, plain(ann, "ann")) && take(&mut presence).is_none());
        assert!(presence.join(ann, plain(ann, "anna")));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.joined), [info(ann, "anna").get()]);
        assert!(changes.newcomers.is_empty() && changes.listed.is_none());
        assert!(take(&mut presence).is_none() && presence.leave(ann, None));
    }

    #[test]
    fn a_member_that_left_and_joined_again_is_a_newcomer() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        presence.join(ann, plain(ann, "ann"));
        presence.join(bob, plain(bob, "bob"));
        take(&mut presence).unwrap();
        presence.leave(ann, None);
        presence.join(ann, plain(ann, "ann"));
        presence.join(bob, plain(bob, "bobby"));
        let changes = take(&mut presence).unwrap();
        assert_eq!(changes.newcomers, HashSet::from([ann]));
        assert_eq!((changes.joined.len(), changes.left.len()), (2, 1));
        assert_eq!(changes.listed.unwrap().len(), 2);
    }

    #[test]
    fn a_member_that_left_is_announced_with_the_description_that_the_room_knows() {
        let ann = ConnectionId::next();
        let mut presence = Presence::default();
        presence.join(ann, plain(ann, "ann"));
        take(&mut presence).unwrap();
        assert!(take(&mut presence).is_none());
        assert!(presence.join(ann, plain(ann, "anna")));
        // The description is the announced one again, so no change is left.
        assert!(!presence.join(ann, plain(ann, "ann")));
        assert!(take(&mut presence).is_none());
        assert!(presence.join(ann, plain(ann, "anna")));
        presence.leave(ann, None);
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.left), [info(ann, "ann").get()]);
    }

    fn reads(reader: ConnectionId) -> impl Fn(&ConnectionId) -> ListProgress {
        move |id| if *id == reader { ListProgress::Begun } else { ListProgress::None }
    }

    #[test]
    fn a_member_stays_behind_until_it_has_the_list_or_leaves() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        presence.join(ann, plain(ann, "ann"));
        assert!(presence.take(|_| ListProgress::None).unwrap().behind.contains(&ann));
        // The list is being sent to ann, so no member needs a new one.
        let changes = presence.take(reads(ann)).unwrap();
        assert!(changes.listed.is_none() && changes.newcomers.is_empty());
        presence.note_behind([bob]);
        assert_eq!(presence.take(reads(ann)).unwrap().listed.unwrap().len(), 1);
        presence.note_caught_up(&[ann]);
        assert!(!presence.leave(bob, None) && take(&mut presence).is_none());
    }
}
