//! Lists of members as messages, in parts that fit into the queues of clients.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::presence::{Changes, Key};
use crate::codec::{self, Tag};
use crate::limits::{Overflow, Rule};
use crate::outbox::SharedFrame;
use crate::websocket::Info;

const JOINED: &str = "room.joined";
const LEFT: &str = "room.left";
const MEMBERS: &str = "room.members";

/// The list of a room at one moment, or changes that follow one, in parts; and what has changed since.
#[derive(Debug)]
pub(super) struct List {
    content: Content,
    parts: Vec<Part>,
    since: HashMap<Key, Change>,
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

impl List {
    /// Makes the list of a room, in parts of at most `part_size` bytes, or one member.
    pub(super) fn of_members(infos: Vec<Info>, part_size: usize) -> Self {
        let mut parts = split(MEMBERS, infos, part_size);
        if parts.is_empty() {
            // The list of a room in which nobody is listed any more.
            parts.push(Part { kind: MEMBERS, infos: Vec::new() });
        }
        Self { content: Content::Members, parts, since: HashMap::new() }
    }

    /// Makes what follows this list: what has changed since; `None` if that is nothing.
    pub(super) fn next(&self, part_size: usize) -> Option<Self> {
        if self.since.is_empty() {
            return None;
        }
        let (mut left, mut joined) = (Vec::new(), Vec::new());
        for change in self.since.values() {
            match change {
                Change::Left(info) => left.push(info.clone()),
                Change::Joined(info) => joined.push(info.clone()),
            }
        }
        let parts = differences(left, joined, part_size);
        Some(Self { content: Content::Changes, parts, since: HashMap::new() })
    }

    /// Makes what a room is told that has changed.
    pub(super) fn of_changes(changes: &Changes, part_size: usize) -> Self {
        let infos = |all: &[(Key, Info)]| all.iter().map(|(_, info)| info.clone()).collect();
        let parts = differences(infos(&changes.left), infos(&changes.joined), part_size);
        Self { content: Content::Changes, parts, since: HashMap::new() }
    }

    pub(super) fn is_of_members(&self) -> bool {
        self.content == Content::Members
    }

    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Notes changes; of each member only the last one counts.
    pub(super) fn note(&mut self, changes: &Changes) {
        let left = changes.left.iter().map(|(key, info)| (key.clone(), Change::Left(info.clone())));
        let joined =
            changes.joined.iter().map(|(key, info)| (key.clone(), Change::Joined(info.clone())));
        self.since.extend(left.chain(joined));
    }

    /// Encodes one part. Those of a list of members have numbers, unless there is only one.
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

/// Who has left, then who has joined.
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

/// `None` is logged: nothing that is known to an announcement makes it impossible to encode.
fn frame(tag: &Tag, kind: &str, announcement: &Announcement<'_>) -> Option<SharedFrame> {
    match codec::encode(tag, kind, None, announcement) {
        Ok(encoded) => {
            // No policy closes a client for it, or drops other messages: there is the list.
            let encoded = encoded.with_rule(Rule::Policy(Overflow::Reject));
            Some(SharedFrame::new(encoded))
        }
        Err(error) => {
            let room = announcement.room;
            tracing::error!(room, %error, "a room was not told of its members");
            None
        }
    }
}

/// Splits a list where its members exceed this many bytes.
fn split(kind: &'static str, infos: Vec<Info>, part_size: usize) -> Vec<Part> {
    let mut parts = Vec::<Part>::new();
    let mut size = 0;
    for info in infos {
        // With its comma.
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
    fn a_part_ends_before_it_is_too_long_and_has_one_member_at_least() {
        let sizes = |lengths: &[usize], part_size| -> Vec<usize> {
            let list = List::of_members(infos(lengths), part_size);
            list.parts.iter().map(|part| part.infos.len()).collect()
        };
        assert_eq!(sizes(&[19, 19, 19, 19, 19], 40), [2, 2, 1]);
        assert_eq!(sizes(&[99, 19, 99], 40), [1, 1, 1]);
        assert_eq!(sizes(&[20, 20], 41), [1, 1]);
        assert_eq!(sizes(&[20, 20], 42), [2]);
        assert_eq!(sizes(&[], 40), [0]);
    }
}
