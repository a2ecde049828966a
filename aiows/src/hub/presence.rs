//! Who is listed in a room, and what of it the room has not been told yet.

use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::tabs::{Closed, Grace, Tabs};
use crate::id::ConnectionId;
use crate::websocket::{Info, Listing};

/// The listed members of one room; nothing for a room in which nobody is.
#[derive(Debug, Default)]
pub(super) struct Presence {
    listed: HashMap<Key, Listed>,
    tabs: Tabs,
    /// Who is to be announced; all of them are listed.
    joined: HashSet<Key>,
    /// Who was announced and has left since: no more than were listed at the last announcement.
    left: HashMap<Key, Info>,
    /// Members that are listed since the last announcement: they begin with the list.
    newcomers: HashSet<ConnectionId>,
    /// Members of the room that need its list: they are new, or have missed an announcement. They stay
    /// here until all of it is in their queues.
    behind: HashSet<ConnectionId>,
    /// Somebody is about to take the changes.
    is_gathering: bool,
    /// Ends the wait for users that may come back, when there are none or the room is gone.
    waiting: Option<oneshot::Sender<()>>,
}

/// What is one entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Connection(ConnectionId),
    User(Arc<str>),
}

/// The time until a user that has not come back is given up.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) until: Instant,
    /// Is closed when nobody has to wait any more.
    pub(super) over: oneshot::Receiver<()>,
}

/// How far a member has come with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    None,
    /// It has no room for the first part. When something changes, it gets another list.
    Waiting,
    Begun,
}

#[derive(Debug)]
struct Listed {
    info: Info,
    /// What the last announcement said; `None` before the first one.
    told: Option<Info>,
}

/// What a room is told at once.
#[derive(Debug)]
pub(super) struct Changes {
    /// Members that are listed for the first time: they begin with the list.
    pub(super) newcomers: HashSet<ConnectionId>,
    /// Members that get the list, or the rest of it; all others get the differences.
    pub(super) behind: HashSet<ConnectionId>,
    /// Who is listed for the first time, or with another description.
    pub(super) joined: Vec<(Key, Info)>,
    pub(super) left: Vec<(Key, Info)>,
    /// Every listed member, if somebody begins with the list.
    pub(super) listed: Option<Vec<Info>>,
}

impl Changes {
    /// Whether somebody has joined or left.
    pub(super) fn is_any(&self) -> bool {
        !self.joined.is_empty() || !self.left.is_empty()
    }
}

impl Presence {
    /// Lists a member, or says something else about it; `true` when somebody has to take the changes
    /// after a while.
    pub(super) fn join(&mut self, id: ConnectionId, Listing { user, info }: Listing) -> bool {
        let key = user.map_or(Key::Connection(id), Key::User);
        let before = self.key_of(id);
        let is_new = before.is_none() || self.newcomers.contains(&id);
        if before.as_ref() != Some(&key) {
            self.unlist(id, None);
            if let Key::User(user) = &key {
                self.tabs.open(id, user);
                // The wait ends if this user was the only one that is awaited.
                self.waiting.take_if(|_| self.tabs.next_end().is_none());
            }
        }
        if is_new {
            self.newcomers.insert(id);
        }
        self.list(key, info);
        self.begins()
    }

    /// Forgets who is no member any more; `true` as [`join`](Self::join).
    pub(super) fn leave(&mut self, id: ConnectionId, grace: Option<Grace>) -> bool {
        self.behind.remove(&id);
        self.unlist(id, grace);
        self.begins()
    }

    /// Lists a member no longer as its user; `true` as [`join`](Self::join).
    pub(super) fn forget_user(&mut self, id: ConnectionId) -> bool {
        if self.tabs.user_of(id).is_some() {
            self.unlist(id, None);
        }
        self.begins()
    }

    fn key_of(&self, id: ConnectionId) -> Option<Key> {
        match self.tabs.user_of(id) {
            Some(user) => Some(Key::User(Arc::clone(user))),
            None => Some(Key::Connection(id)).filter(|key| self.listed.contains_key(key)),
        }
    }

    fn list(&mut self, key: Key, info: Info) {
        let before = self.listed.get(&key);
        if before.is_some_and(|before| before.info.get() == info.get()) {
            return;
        }
        let told = match (before, &key) {
            (Some(before), _) => before.told.clone(),
            // The room has not been told that the user was gone.
            (None, Key::User(_)) => self.left.remove(&key),
            (None, Key::Connection(_)) => None,
        };
        if told.as_ref().is_some_and(|told| told.get() == info.get()) {
            self.joined.remove(&key);
        } else {
            self.joined.insert(key.clone());
        }
        self.listed.insert(key, Listed { info, told });
    }

    /// A user that the room was told of may get a grace.
    fn unlist(&mut self, id: ConnectionId, grace: Option<Grace>) {
        let Some(key) = self.key_of(id) else { return };
        self.newcomers.remove(&id);
        let is_told = self.listed.get(&key).is_some_and(|listed| listed.told.is_some());
        match self.tabs.close(id, grace.filter(|_| is_told)) {
            Closed::NoTab | Closed::Last(_) => self.remove(key),
            Closed::Stays => {}
        }
    }

    fn remove(&mut self, key: Key) {
        self.joined.remove(&key);
        if let Some(Listed { told: Some(told), .. }) = self.listed.remove(&key) {
            self.left.insert(key, told);
        }
    }

    fn has_changes(&self) -> bool {
        !(self.joined.is_empty()
            && self.left.is_empty()
            && self.newcomers.is_empty()
            && self.behind.is_empty())
    }

    /// Whether a task has to begin: nobody takes the changes, or waits for users.
    fn begins(&mut self) -> bool {
        let is_awaited = self.tabs.next_end().is_some() && !self.is_waiting();
        (self.has_changes() || is_awaited) && self.gather()
    }

    fn is_waiting(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_closed())
    }

    /// Begins to wait for users that may come back; `None` if there are none, or somebody waits.
    pub(super) fn wait(&mut self) -> Option<Wait> {
        let until = self.tabs.next_end().filter(|_| !self.is_waiting())?;
        let (waiting, over) = oneshot::channel();
        self.waiting = Some(waiting);
        Some(Wait { until, over })
    }

    /// Ends a wait whose time has come; `true` if its owner takes the changes now.
    pub(super) fn end_wait(&mut self, over: &mut oneshot::Receiver<()>) -> bool {
        if over.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            return false;
        }
        self.waiting = None;
        self.gather()
    }

    fn gather(&mut self) -> bool {
        !std::mem::replace(&mut self.is_gathering, true)
    }

    /// Takes what has changed; `None` ends the gathering. The `progress` of members with a list tells
    /// whether somebody needs a new one.
    pub(super) fn take(&mut self, progress: impl Fn(&ConnectionId) -> Progress) -> Option<Changes> {
        while let Some(user) = self.tabs.take_ended(Instant::now()) {
            self.remove(Key::User(user));
        }
        if !self.has_changes() {
            self.is_gathering = false;
            return None;
        }
        let newcomers = take(&mut self.newcomers);
        let mut joined = Vec::new();
        for key in take(&mut self.joined) {
            let Some(listed) = self.listed.get_mut(&key) else { continue };
            listed.told = Some(Info::clone(&listed.info));
            joined.push((key, Info::clone(&listed.info)));
        }
        self.behind.extend(&newcomers);
        let left = take(&mut self.left).into_iter().collect();
        let behind = self.behind.clone();
        let mut changes = Changes { newcomers, behind, joined, left, listed: None };
        let begins = |id: &ConnectionId| match progress(id) {
            Progress::None => true,
            Progress::Waiting => changes.is_any() || changes.newcomers.contains(id),
            Progress::Begun => changes.newcomers.contains(id),
        };
        if self.behind.iter().any(begins) {
            changes.listed = Some(self.infos());
        }
        Some(changes)
    }

    /// Notes who has the list now.
    pub(super) fn note_caught_up(&mut self, ids: &[ConnectionId]) {
        for id in ids {
            self.behind.remove(id);
        }
    }

    /// Notes members that have missed what the room was told: they get the list next.
    pub(super) fn note_behind(&mut self, ids: impl IntoIterator<Item = ConnectionId>) {
        self.behind.extend(ids);
    }

    /// Lets the next change begin a gathering.
    pub(super) fn give_up(&mut self) {
        self.is_gathering = false;
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

    /// Takes the changes, and sends the list to everybody who needs it.
    fn take(presence: &mut Presence) -> Option<Changes> {
        let changes = presence.take(|_| Progress::None)?;
        let listed: Vec<_> = changes.behind.iter().copied().collect();
        presence.note_caught_up(&listed);
        Some(changes)
    }

    #[test]
    fn a_member_is_its_id_and_what_is_said_about_it() {
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
    fn one_gathering_has_the_sum_of_its_changes() {
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
        // Who was announced is told to have left, also when it came back and left again.
        assert!(presence.leave(ann, None));
        assert!(!presence.join(ann, plain(ann, "anna")));
        assert!(!presence.leave(ann, None));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.left), [info(ann, "ann").get()]);
        assert!(changes.joined.is_empty() && changes.newcomers.is_empty());
        assert!(take(&mut presence).is_none() && presence.is_empty());
    }

    #[test]
    fn a_member_that_says_the_same_again_says_nothing() {
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
    fn who_left_is_told_as_the_room_knows_it() {
        let ann = ConnectionId::next();
        let mut presence = Presence::default();
        presence.join(ann, plain(ann, "ann"));
        take(&mut presence).unwrap();
        assert!(take(&mut presence).is_none());
        assert!(presence.join(ann, plain(ann, "anna")));
        // Back to what the last announcement said, so no change is left.
        assert!(!presence.join(ann, plain(ann, "ann")));
        assert!(take(&mut presence).is_none());
        assert!(presence.join(ann, plain(ann, "anna")));
        presence.leave(ann, None);
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.left), [info(ann, "ann").get()]);
    }

    fn reads(reader: ConnectionId) -> impl Fn(&ConnectionId) -> Progress {
        move |id| if *id == reader { Progress::Begun } else { Progress::None }
    }

    #[test]
    fn a_member_stays_behind_until_it_has_the_list_or_leaves() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        presence.join(ann, plain(ann, "ann"));
        assert!(presence.take(|_| Progress::None).unwrap().behind.contains(&ann));
        // It is being sent the list, so nobody needs a new one.
        let changes = presence.take(reads(ann)).unwrap();
        assert!(changes.listed.is_none() && changes.newcomers.is_empty());
        presence.note_behind([bob]);
        assert_eq!(presence.take(reads(ann)).unwrap().listed.unwrap().len(), 1);
        presence.note_caught_up(&[ann]);
        assert!(!presence.leave(bob, None) && take(&mut presence).is_none());
    }
}
