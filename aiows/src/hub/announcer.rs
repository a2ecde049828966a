//! Tells the members of one room what has changed, and sends its list to those who need it.

use std::collections::{HashMap, HashSet};

use tokio::task::yield_now;

use super::busy::Late;
use super::member_list::List;
use super::presence::{Changes, Progress};
use super::recipients::CHUNK;
use crate::codec::Tag;
use crate::id::ConnectionId;
use crate::outbox::{Attempts, Published, SharedFrame};
use crate::websocket::{Members, WebSocket};

/// The lists of one room that are being sent.
#[derive(Debug, Default)]
pub(super) struct Teller {
    lists: HashMap<u64, List>,
    /// Lists so far.
    count: u64,
    readers: HashMap<ConnectionId, Reader>,
}

/// A member that has not got all of a list.
#[derive(Clone, Copy, Debug)]
struct Reader {
    list: u64,
    /// The part it gets next.
    next: usize,
}

/// What became of an announcement.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Members that have all of the list now.
    pub(super) caught_up: Vec<ConnectionId>,
    /// Members that have no room for what has changed.
    pub(super) missed: Vec<ConnectionId>,
}

/// One announcement to a room.
struct Announcement<'a> {
    room: &'a str,
    part_size: usize,
    /// What has changed.
    changes: List,
    /// The list for members that begin with one.
    newest: u64,
    /// What follows the lists that somebody has got all of.
    following: HashMap<u64, u64>,
    frames: Frames,
}

/// What was encoded already: parts of lists, by the number of the list and their place in it.
#[derive(Default)]
struct Frames {
    known: HashMap<(u64, usize), Tagged>,
}

/// A part in each form it has on the wire.
type Tagged = Vec<(Tag, Option<SharedFrame>)>;

/// Stands for the changes of an announcement among the numbers of lists.
const CHANGES: u64 = 0;

impl Teller {
    pub(super) fn progress(&self, id: &ConnectionId) -> Progress {
        match self.readers.get(id) {
            None => Progress::None,
            Some(reader) if self.is_waiting(reader) => Progress::Waiting,
            Some(_) => Progress::Begun,
        }
    }

    fn is_waiting(&self, reader: &Reader) -> bool {
        reader.next == 0 && self.lists.get(&reader.list).is_none_or(List::is_of_members)
    }

    /// Members that are behind get the next parts of the list, all others what has changed.
    pub(super) async fn tell(&mut self, room: &str, members: &Members, changes: Changes) -> Told {
        let Some(first) = members.first() else { return Told::default() };
        let part_size = first.outbox().part_size();
        let mut announcement = Announcement {
            room,
            part_size,
            changes: List::of_changes(&changes, part_size),
            newest: self.prepare(&changes, part_size),
            following: HashMap::new(),
            frames: Frames::default(),
        };
        let mut told = Told::default();
        let mut late = Late::default();
        for (number, chunk) in members.chunks(CHUNK).enumerate() {
            if number > 0 {
                yield_now().await;
            }
            for socket in chunk {
                if changes.behind.contains(&socket.id()) {
                    if self.send_list(socket, &mut announcement) {
                        self.readers.remove(&socket.id());
                        told.caught_up.push(socket.id());
                    }
                } else if !announcement.say_changes(socket, &mut late) {
                    told.note_missed(socket, room);
                }
            }
        }
        for socket in late.publish_and_find_refused().await {
            told.note_missed(socket, room);
        }
        told
    }

    /// Forgets readers that have left, or begin again, and their lists; makes a new list if somebody
    /// needs one. Returns the number of the newest list.
    fn prepare(&mut self, changes: &Changes, part_size: usize) -> u64 {
        let Changes { newcomers, behind, .. } = changes;
        let mut readers = std::mem::take(&mut self.readers);
        readers.retain(|id, reader| {
            let begins = newcomers.contains(id) || (changes.is_any() && self.is_waiting(reader));
            behind.contains(id) && !begins
        });
        self.readers = readers;
        let used: HashSet<u64> = self.readers.values().map(|reader| reader.list).collect();
        self.lists.retain(|number, _| used.contains(number));
        self.lists.values_mut().for_each(|list| list.note(changes));
        match &changes.listed {
            Some(infos) => self.add(List::of_members(infos.clone(), part_size)),
            None => self.count,
        }
    }

    fn add(&mut self, list: List) -> u64 {
        self.count += 1;
        self.lists.insert(self.count, list);
        self.count
    }

    /// Queues as much of the list as a member has room for; `true` when it has all of it, and what
    /// has changed since.
    fn send_list(&mut self, socket: &WebSocket, announcement: &mut Announcement<'_>) -> bool {
        let newest = Reader { list: announcement.newest, next: 0 };
        let mut reader = *self.readers.entry(socket.id()).or_insert(newest);
        let is_all = loop {
            let Some(list) = self.lists.get(&reader.list) else { break false };
            reader.next = announcement.queue_parts(socket, list, reader);
            if reader.next < list.parts() {
                break false;
            }
            let following = match announcement.following.get(&reader.list) {
                Some(following) => *following,
                None => match list.next(announcement.part_size) {
                    Some(next) => self.add(next),
                    None => break true,
                },
            };
            announcement.following.insert(reader.list, following);
            reader = Reader { list: following, next: 0 };
        };
        self.readers.insert(socket.id(), reader);
        is_all
    }
}

impl Announcement<'_> {
    /// Queues parts of a list while there is room for them; returns the part that comes next.
    fn queue_parts(&mut self, socket: &WebSocket, list: &List, reader: Reader) -> usize {
        let Reader { list: number, mut next } = reader;
        while next < list.parts() {
            let frame = self.frames.part(self.room, (number, list), next, socket.tag());
            match frame.map(|frame| socket.outbox().publish_part(frame)) {
                None | Some(Published::Queued) => {}
                Some(Published::Deferred) => socket.outbox().flush_deferred(),
                Some(Published::Busy(_) | Published::Dropped | Published::Refused) => return next,
            }
            next += 1;
        }
        next
    }

    /// Publishes what has changed; what comes behind a message whose session has to write first is
    /// late, too. `false` if there is no room.
    fn say_changes<'s>(&mut self, socket: &'s WebSocket, late: &mut Late<'s>) -> bool {
        let mut busy: Option<Attempts> = None;
        for at in 0..self.changes.parts() {
            let list = (CHANGES, &self.changes);
            let Some(frame) = self.frames.part(self.room, list, at, socket.tag()) else { continue };
            let published = busy.map_or_else(|| socket.outbox().publish(frame), Published::Busy);
            match published {
                Published::Queued => {}
                Published::Deferred => socket.outbox().flush_deferred(),
                Published::Busy(since) => {
                    late.add(socket, frame, since);
                    busy = Some(since);
                }
                Published::Dropped | Published::Refused => return false,
            }
        }
        true
    }
}

impl Frames {
    fn part(
        &mut self,
        room: &str,
        (number, list): (u64, &List),
        at: usize,
        tag: &Tag,
    ) -> Option<&SharedFrame> {
        let known = self.known.entry((number, at)).or_default();
        let form = known.iter().position(|(known, _)| known == tag).unwrap_or_else(|| {
            known.push((tag.clone(), list.encode(tag, room, at)));
            known.len() - 1
        });
        known[form].1.as_ref()
    }
}

impl Told {
    /// Notes a member that has missed an announcement. One that is closed leaves the room soon.
    fn note_missed(&mut self, socket: &WebSocket, room: &str) {
        if socket.is_closed() {
            return;
        }
        socket.outbox().note_missed();
        let (connection, namespace) = (socket.id(), socket.namespace());
        tracing::warn!(%connection, namespace, room, "the client reads too slowly and missed an \
            announcement of its room: it gets the list when it has room");
        self.missed.push(socket.id());
    }
}
