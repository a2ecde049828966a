//! Who is listed in a room, and what of it the room has not been told yet.

use std::collections::{HashMap, HashSet};
use std::mem::take;

use serde::Serialize;
use serde_json::value::RawValue;

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
    /// Somebody is about to take the changes.
    is_gathering: bool,
}

#[derive(Debug)]
struct Listed {
    info: Info,
    is_announced: bool,
}

/// What a room is told at once.
#[derive(Debug)]
pub(super) struct Changes {
    /// Members that are listed for the first time. They get the whole list, all others the
    /// differences.
    pub(super) newcomers: HashSet<ConnectionId>,
    /// The newcomers, and members that joined again with another description.
    pub(super) joined: Vec<Info>,
    pub(super) left: Vec<Info>,
    /// Every listed member; empty if there are no newcomers.
    pub(super) listed: Vec<Info>,
}

impl Presence {
    /// Lists a member; `true` when somebody has to take the changes after a while.
    pub(super) fn join(&mut self, id: ConnectionId, info: Info) -> bool {
        let before = self.listed.get(&id);
        if before.is_some_and(|before| before.info.get() == info.get()) {
            return false;
        }
        let is_announced = before.is_some_and(|before| before.is_announced);
        self.listed.insert(id, Listed { info, is_announced });
        self.joined.insert(id);
        self.gather()
    }

    /// Takes a member off the list; `true` as [`join`](Self::join).
    pub(super) fn leave(&mut self, id: ConnectionId) -> bool {
        let Some(listed) = self.listed.remove(&id) else {
            return false;
        };
        self.joined.remove(&id);
        if !listed.is_announced {
            return false;
        }
        self.left.insert(id, listed.info);
        self.gather()
    }

    fn gather(&mut self) -> bool {
        !std::mem::replace(&mut self.is_gathering, true)
    }

    /// Takes what has changed; `None` ends the gathering.
    pub(super) fn take(&mut self) -> Option<Changes> {
        if self.joined.is_empty() && self.left.is_empty() {
            self.is_gathering = false;
            return None;
        }
        let (mut newcomers, mut joined) = (HashSet::new(), Vec::new());
        for id in take(&mut self.joined) {
            let Some(listed) = self.listed.get_mut(&id) else { continue };
            joined.push(Info::clone(&listed.info));
            if !std::mem::replace(&mut listed.is_announced, true) {
                newcomers.insert(id);
            }
        }
        let listed = if newcomers.is_empty() { Vec::new() } else { self.infos() };
        let left = take(&mut self.left).into_values().collect();
        Some(Changes { newcomers, joined, left, listed })
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
/// When that is no object, or has an `id` of its own.
pub(super) fn describe<P: Serialize + ?Sized>(
    id: ConnectionId,
    about: &P,
) -> serde_json::Result<Info> {
    let encoded = codec::encode_named(ID, &id.to_string(), about)?;
    let info: Box<RawValue> = serde_json::from_slice(encoded.payload())?;
    Ok(info.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(id: ConnectionId, name: &str) -> Info {
        describe(id, &json!({ "name": name })).unwrap()
    }

    fn texts(infos: &[Info]) -> Vec<&str> {
        infos.iter().map(|info| info.get()).collect()
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
        let changes = presence.take().unwrap();
        assert_eq!(texts(&changes.joined), [info(ann, "ann").get()]);
        assert_eq!((texts(&changes.listed), changes.left.len()), (texts(&changes.joined), 0));
        assert!(presence.take().is_none());
        // Who was announced is told to have left, also when it came back and left again.
        assert!(presence.leave(ann));
        assert!(!presence.join(ann, info(ann, "anna")));
        assert!(!presence.leave(ann));
        let changes = presence.take().unwrap();
        assert_eq!(texts(&changes.left), [info(ann, "ann").get()]);
        assert!(changes.joined.is_empty() && changes.newcomers.is_empty());
        assert!(presence.take().is_none() && presence.is_empty());
    }

    #[test]
    fn a_member_that_says_the_same_again_says_nothing() {
        let ann = ConnectionId::next();
        let mut presence = Presence::default();
        assert!(presence.join(ann, info(ann, "ann")));
        presence.take().unwrap();
        assert!(!presence.join(ann, info(ann, "ann")) && presence.take().is_none());
        assert!(presence.join(ann, info(ann, "anna")));
        let changes = presence.take().unwrap();
        assert_eq!(texts(&changes.joined), [info(ann, "anna").get()]);
        assert!(changes.newcomers.is_empty() && changes.listed.is_empty());
        assert!(presence.take().is_none() && presence.leave(ann));
    }

    #[test]
    fn a_member_that_left_and_joined_again_is_a_newcomer() {
        let (ann, bob) = (ConnectionId::next(), ConnectionId::next());
        let mut presence = Presence::default();
        presence.join(ann, info(ann, "ann"));
        presence.join(bob, info(bob, "bob"));
        presence.take().unwrap();
        presence.leave(ann);
        presence.join(ann, info(ann, "ann"));
        presence.join(bob, info(bob, "bobby"));
        let changes = presence.take().unwrap();
        assert_eq!(changes.newcomers, HashSet::from([ann]));
        assert_eq!((changes.joined.len(), changes.left.len(), changes.listed.len()), (2, 1, 2));
    }
}
