//! Who is listed in a room, and what of it the room has not been told yet.

use std::collections::{HashMap, HashSet};
use std::mem::take;

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::Value;
use serde_json::value::RawValue;

use super::tell::Progress;
use crate::codec::{self, ID};
use crate::id::ConnectionId;
use crate::websocket::Info;

/// The listed members of one room; nothing for a room in which nobody is.
#[derive(Debug, Default)]
pub(super) struct Presence {
    listed: HashMap<ConnectionId, Listed>,
    /// Who is to be announced; all of them are listed.
    joined: HashSet<ConnectionId>,
    /// Who was announced and has left since: no more than were listed at the last announcement.
    left: HashMap<ConnectionId, Info>,
    /// Members of the room that need its list: they are new, or have missed an announcement. They stay
    /// here until all of it is in their queues.
    behind: HashSet<ConnectionId>,
    /// Somebody is about to take the changes.
    is_gathering: bool,
}

#[derive(Debug)]
struct Listed {
    info: Info,
    /// What the room was last told; nothing before the first announcement.
    told: Option<Info>,
}

/// What a room is told at once.
#[derive(Debug)]
pub(super) struct Changes {
    /// Members that are listed for the first time: they begin with the list.
    pub(super) newcomers: HashSet<ConnectionId>,
    /// Members that get the list, or the rest of it; all others get the differences.
    pub(super) behind: HashSet<ConnectionId>,
    /// The newcomers, and members that joined again with another description.
    pub(super) joined: Vec<(ConnectionId, Info)>,
    pub(super) left: Vec<(ConnectionId, Info)>,
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
    /// Lists a member; `true` when somebody has to take the changes after a while.
    pub(super) fn join(&mut self, id: ConnectionId, info: Info) -> bool {
        let before = self.listed.get(&id);
        if before.is_some_and(|before| before.info.get() == info.get()) {
            return false;
        }
        let told = before.and_then(|before| before.told.clone());
        let is_told = told.as_ref().is_some_and(|told| told.get() == info.get());
        self.listed.insert(id, Listed { info, told });
        if is_told {
            self.joined.remove(&id);
            return false;
        }
        self.joined.insert(id);
        self.gather()
    }

    /// Forgets who is no member any more; `true` as [`join`](Self::join).
    pub(super) fn leave(&mut self, id: ConnectionId) -> bool {
        self.behind.remove(&id);
        let Some(listed) = self.listed.remove(&id) else {
            return false;
        };
        self.joined.remove(&id);
        let Some(told) = listed.told else {
            return false;
        };
        self.left.insert(id, told);
        self.gather()
    }

    fn gather(&mut self) -> bool {
        !std::mem::replace(&mut self.is_gathering, true)
    }

    /// Takes what has changed; `None` ends the gathering. The `progress` of members with a list tells
    /// whether somebody needs a new one.
    pub(super) fn take(&mut self, progress: impl Fn(&ConnectionId) -> Progress) -> Option<Changes> {
        if self.joined.is_empty() && self.left.is_empty() && self.behind.is_empty() {
            self.is_gathering = false;
            return None;
        }
        let (mut newcomers, mut joined) = (HashSet::new(), Vec::new());
        for id in take(&mut self.joined) {
            let Some(listed) = self.listed.get_mut(&id) else { continue };
            joined.push((id, Info::clone(&listed.info)));
            if listed.told.replace(Info::clone(&listed.info)).is_none() {
                newcomers.insert(id);
            }
        }
        self.behind.extend(&newcomers);
        let left = take(&mut self.left).into_iter().collect();
        let behind = self.behind.clone();
        let mut changes = Changes { newcomers, behind, joined, left, listed: None };
        let begins = |id: &ConnectionId| match progress(id) {
            Progress::None => true,
            Progress::Waiting => changes.is_any(),
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

/// Writes a member as its room is told: its id, and the fields of what is said about it.
///
/// # Errors
///
/// When that is no object, has an `id` of its own, or is no [`Value`], as which it is listed.
pub(super) fn describe<P: Serialize + ?Sized>(
    id: ConnectionId,
    about: &P,
) -> serde_json::Result<Info> {
    let encoded = codec::encode_named(ID, &id.to_string(), about)?;
    let info: Box<RawValue> = serde_json::from_slice(encoded.payload())?;
    codec::check_keys(info.get()).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<Value>(info.get())?;
    Ok(info.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(id: ConnectionId, name: &str) -> Info {
        describe(id, &json!({ "name": name })).unwrap()
    }

    fn texts(infos: &[(ConnectionId, Info)]) -> Vec<&str> {
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
        assert_eq!(describe(id, &()).unwrap().get(), format!(r#"{{"id":"{id}"}}"#));
        for (about, text) in [
            (json!({ "id": 7 }), "the key `id` belongs to the head"),
            (json!("ann"), "a message is written as a JSON object"),
        ] {
            let error = describe(id, &about).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn one_gathering_has_the_sum_of_its_changes() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        assert!(presence.join(ann, info(ann, "ann")));
        assert!(!presence.join(bob, info(bob, "bob")));
        assert!(!presence.leave(bob));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.joined), [info(ann, "ann").get()]);
        assert_eq!(changes.listed.unwrap()[0].get(), info(ann, "ann").get());
        assert!(changes.left.is_empty());
        assert!(take(&mut presence).is_none());
        // Who was announced is told to have left, also when it came back and left again.
        assert!(presence.leave(ann));
        assert!(!presence.join(ann, info(ann, "anna")));
        assert!(!presence.leave(ann));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.left), [info(ann, "ann").get()]);
        assert!(changes.joined.is_empty() && changes.newcomers.is_empty());
        assert!(take(&mut presence).is_none() && presence.is_empty());
    }

    #[test]
    fn a_member_that_says_the_same_again_says_nothing() {
        let ann = ConnectionId::next();
        let mut presence = Presence::default();
        assert!(presence.join(ann, info(ann, "ann")));
        take(&mut presence).unwrap();
        assert!(!presence.join(ann, info(ann, "ann")) && take(&mut presence).is_none());
        assert!(presence.join(ann, info(ann, "anna")));
        let changes = take(&mut presence).unwrap();
        assert_eq!(texts(&changes.joined), [info(ann, "anna").get()]);
        assert!(changes.newcomers.is_empty() && changes.listed.is_none());
        assert!(take(&mut presence).is_none() && presence.leave(ann));
    }

    #[test]
    fn a_member_that_left_and_joined_again_is_a_newcomer() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        presence.join(ann, info(ann, "ann"));
        presence.join(bob, info(bob, "bob"));
        take(&mut presence).unwrap();
        presence.leave(ann);
        presence.join(ann, info(ann, "ann"));
        presence.join(bob, info(bob, "bobby"));
        let changes = take(&mut presence).unwrap();
        assert_eq!(changes.newcomers, HashSet::from([ann]));
        assert_eq!((changes.joined.len(), changes.left.len()), (2, 1));
        assert_eq!(changes.listed.unwrap().len(), 2);
    }

    #[test]
    fn who_left_is_told_as_the_room_knows_it() {
        let ann = ConnectionId::next();
        let mut presence = Presence::default();
        presence.join(ann, info(ann, "ann"));
        take(&mut presence).unwrap();
        assert!(take(&mut presence).is_none());
        assert!(presence.join(ann, info(ann, "anna")));
        // Back to what everybody knows: nothing is left to be told.
        assert!(!presence.join(ann, info(ann, "ann")));
        assert!(take(&mut presence).is_none());
        assert!(presence.join(ann, info(ann, "anna")));
        presence.leave(ann);
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
        presence.join(ann, info(ann, "ann"));
        assert!(presence.take(|_| Progress::None).unwrap().behind.contains(&ann));
        // It is being sent the list, so nobody needs a new one.
        let changes = presence.take(reads(ann)).unwrap();
        assert!(changes.listed.is_none() && changes.newcomers.is_empty());
        presence.note_behind([bob]);
        assert_eq!(presence.take(reads(ann)).unwrap().listed.unwrap().len(), 1);
        presence.note_caught_up(&[ann]);
        assert!(!presence.leave(bob) && take(&mut presence).is_none());
    }
}
