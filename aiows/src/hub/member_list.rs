//! Member lists and changes as messages, in parts that fit into the queues of clients.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::presence::{Changes, Key};
use crate::codec::{self, HeadId, Tag};
use crate::limits::{Overflow, Rule};
use crate::outbox::SharedFrame;
use crate::websocket::Info;

const JOINED: &str = "room.joined";
const LEFT: &str = "room.left";
const MEMBERS: &str = "room.members";

/// The member list of a room at one moment, or the changes after such a list. Either is split into
/// parts.
#[derive(Debug)]
pub(super) struct MemberList {
    content: Content,
    parts: Vec<Part>,
    /// Changes after this list was made, for its readers to receive next.
    changes_since: HashMap<Key, Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Members,
    Changes,
}

#[derive(Debug)]
struct Part {
    kind: &'static str,
    infos: Vec<Info>,
}

#[derive(Clone, Debug)]
enum Change {
    Joined(Info),
    Left(Info),
}

impl MemberList {
    /// Makes the list of a room. A part has at most `part_size` bytes, or a single member.
    pub(super) fn of_members(infos: Vec<Info>, part_size: usize) -> Self {
        let mut parts = split(MEMBERS, infos, part_size);
        if parts.is_empty() {
            // An empty room still has a list, so that clients clear theirs.
            parts.push(Part { kind: MEMBERS, infos: Vec::new() });
        }
        Self { content: Content::Members, parts, changes_since: HashMap::new() }
    }

    /// Makes the list of the changes since this one; `None` if there are none.
    pub(super) fn follow_up(&self, part_size: usize) -> Option<Self> {
        if self.changes_since.is_empty() {
            return None;
        }
        let (mut left, mut joined) = (Vec::new(), Vec::new());
        for change in self.changes_since.values() {
            match change {
                Change::Left(info) => left.push(info.clone()),
                Change::Joined(info) => joined.push(info.clone()),
            }
        }
        let parts = differences(left, joined, part_size);
        Some(Self { content: Content::Changes, parts, changes_since: HashMap::new() })
    }

    /// Makes the list of the changes of one announcement.
    pub(super) fn of_changes(changes: &Changes, part_size: usize) -> Self {
        let infos = |all: &[(Key, Info)]| all.iter().map(|(_, info)| info.clone()).collect();
        let parts = differences(infos(&changes.left), infos(&changes.joined), part_size);
        Self { content: Content::Changes, parts, changes_since: HashMap::new() }
    }

    pub(super) fn is_of_members(&self) -> bool {
        self.content == Content::Members
    }

    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Records changes. A later change of a member replaces an earlier one.
    pub(super) fn record(&mut self, changes: &Changes) {
        let left = changes.left.iter().map(|(key, info)| (key.clone(), Change::Left(info.clone())));
        let joined =
            changes.joined.iter().map(|(key, info)| (key.clone(), Change::Joined(info.clone())));
        self.changes_since.extend(left.chain(joined));
    }

    /// Encodes one part. Parts of a member list are numbered if there are several.
    pub(super) fn encode(&self, tag: &Tag, room: &str, at: usize) -> Option<SharedFrame> {
        let Part { kind, infos } = self.parts.get(at)?;
        let is_numbered = self.is_of_members() && self.parts.len() > 1;
        let announcement = Announcement {
            room,
            part: is_numbered.then_some(at + 1),
            parts: is_numbered.then_some(self.parts.len()),
            members: infos.iter().map(|info| &**info).collect(),
        };
        frame(tag, kind, &announcement)
    }
}

/// Splits the members that left into parts, followed by those that joined.
fn differences(left: Vec<Info>, joined: Vec<Info>, part_size: usize) -> Vec<Part> {
    let mut parts = split(LEFT, left, part_size);
    parts.extend(split(JOINED, joined, part_size));
    parts
}

#[derive(Serialize)]
struct Announcement<'a> {
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<usize>,
    members: Vec<&'a RawValue>,
}

/// Encodes an announcement. The `None` case is logged; no input is known to cause it.
fn frame(tag: &Tag, kind: &str, announcement: &Announcement<'_>) -> Option<SharedFrame> {
    match codec::encode(tag, kind, HeadId::None, announcement) {
        Ok(encoded) => {
            // If the queue is full, the announcement is refused: the client gets the list later, so
            // no policy has to close it or drop other messages.
            let encoded = encoded.with_rule(Rule::Policy(Overflow::Reject));
            Some(SharedFrame::new(encoded))
        }
        Err(error) => {
            let room = announcement.room;
            tracing::error!(room, %error, "an announcement could not be encoded");
            None
        }
    }
}

/// Splits a list into parts of at most `part_size` bytes.
fn split(kind: &'static str, infos: Vec<Info>, part_size: usize) -> Vec<Part> {
    let mut parts = Vec::<Part>::new();
    let mut size = 0;
    for info in infos {
        // One more byte for the comma.
        let length = info.get().len() + 1;
        match parts.last_mut().filter(|_| size + length <= part_size) {
            Some(last) => last.infos.push(info),
            None => {
                parts.push(Part { kind, infos: vec![info] });
                size = 0;
            }
        }
        size += length;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infos(lengths: &[usize]) -> Vec<Info> {
        let text = |length: &usize| format!("{{\"{}\":1}}", "x".repeat(length - 6));
        let raw = |length| RawValue::from_string(text(length)).unwrap();
        lengths.iter().map(|length| Info::from(raw(length))).collect()
    }

    #[test]
    fn a_part_stays_within_the_size_limit_unless_one_member_exceeds_it() {
        let sizes = |lengths: &[usize], part_size| -> Vec<usize> {
            let list = MemberList::of_members(infos(lengths), part_size);
            list.parts.iter().map(|part| part.infos.len()).collect()
        };
        assert_eq!(sizes(&[19, 19, 19, 19, 19], 40), [2, 2, 1]);
        assert_eq!(sizes(&[99, 19, 99], 40), [1, 1, 1]);
        assert_eq!(sizes(&[20, 20], 41), [1, 1]);
        assert_eq!(sizes(&[20, 20], 42), [2]);
        assert_eq!(sizes(&[], 40), [0]);
    }
}
