//! Sends the announcements of one room: changes to up-to-date members, and the member list to the
//! others.

use std::collections::{HashMap, HashSet};

use tokio::task::yield_now;

use super::busy::BusyMembers;
use super::flush_task::CHUNK;
use super::member_list::MemberList;
use super::presence::{Changes, ListProgress};
use crate::codec::Tag;
use crate::id::ConnectionId;
use crate::outbox::{Attempts, OfferResult, SharedFrame, When};
use crate::websocket::{Members, WebSocket};

/// The member lists of one room that are still being sent.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    lists: HashMap<u64, MemberList>,
    /// The number of lists made so far, which is also the number of the newest one.
    count: u64,
    /// Members that have received only a part of a list.
    readers: HashMap<ConnectionId, Reader>,
}

/// A member that has received only a part of a list.
#[derive(Clone, Copy, Debug)]
struct Reader {
    list: u64,
    /// The index of the next part to queue.
    next: usize,
}

/// The members that an announcement brought up to date, or left behind.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// Members that have now received the whole list.
    pub(super) caught_up: Vec<ConnectionId>,
    /// Members that did not receive the changes because their queues were full.
    pub(super) missed: Vec<ConnectionId>,
}

/// One announcement to a room.
struct Announcement<'a> {
    room: &'a str,
    part_size: usize,
    /// The changes, for members that already know the list.
    changes: MemberList,
    /// The number of the list that a new reader begins with.
    newest: u64,
    /// For each list that a member has received completely, the number of the list with the changes
    /// since.
    following: HashMap<u64, u64>,
    encoded: EncodedParts,
}

/// Encoded parts, by the number of the list and the index of the part.
#[derive(Default)]
struct EncodedParts {
    known: HashMap<(u64, usize), Tagged>,
}

/// One part, encoded once for each tag in use.
type Tagged = Vec<(Tag, Option<SharedFrame>)>;

/// The number under which the changes of an announcement are cached; lists are numbered from 1.
const CHANGES: u64 = 0;

impl Announcer {
    pub(super) fn progress(&self, id: &ConnectionId) -> ListProgress {
        match self.readers.get(id) {
            None => ListProgress::None,
            Some(reader) if self.is_waiting(reader) => ListProgress::Waiting,
            Some(_) => ListProgress::Begun,
        }
    }

    fn is_waiting(&self, reader: &Reader) -> bool {
        reader.next == 0 && self.lists.get(&reader.list).is_none_or(MemberList::is_of_members)
    }

    /// Sends the next list parts to members that are behind, and the changes to all others.
    pub(super) async fn announce(
        &mut self,
        room: &str,
        members: &Members,
        changes: Changes,
    ) -> Announced {
        let Some(first) = members.first() else { return Announced::default() };
        let part_size = first.outbox().part_size();
        let mut announcement = Announcement {
            room,
            part_size,
            changes: MemberList::of_changes(&changes, part_size),
            newest: self.prepare(&changes, part_size),
            following: HashMap::new(),
            encoded: EncodedParts::default(),
        };
        let mut announced = Announced::default();
        let mut busy_members = BusyMembers::default();
        for (number, chunk) in members.chunks(CHUNK).enumerate() {
            if number > 0 {
                yield_now().await;
            }
            for socket in chunk {
                if changes.behind.contains(&socket.id()) {
                    if self.send_list(socket, &mut announcement) {
                        self.readers.remove(&socket.id());
                        announced.caught_up.push(socket.id());
                    }
                } else if !announcement.publish_changes(socket, &mut busy_members) {
                    announced.note_missed(socket, room);
                }
            }
        }
        for socket in busy_members.publish_and_find_refused().await {
            announced.note_missed(socket, room);
        }
        announced
    }

    /// Drops readers that left or start over, and lists without readers. Adds a new list if a
    /// member needs one. Returns the number of the newest list.
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
        self.lists.values_mut().for_each(|list| list.record(changes));
        match &changes.listed {
            Some(infos) => self.add(MemberList::of_members(infos.clone(), part_size)),
            None => self.count,
        }
    }

    fn add(&mut self, list: MemberList) -> u64 {
        self.count += 1;
        self.lists.insert(self.count, list);
        self.count
    }

    /// Queues as many parts as the member's queue takes. Returns `true` if the member now has the
    /// whole list and all changes since.
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
                None => match list.follow_up(announcement.part_size) {
                    Some(changes) => self.add(changes),
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
    /// Queues parts while the queue has room, and returns the index of the next part.
    fn queue_parts(&mut self, socket: &WebSocket, list: &MemberList, reader: Reader) -> usize {
        let Reader { list: number, mut next } = reader;
        while next < list.parts() {
            let frame = self.encoded.part(self.room, (number, list), next, socket.tag());
            match frame.map(|frame| socket.outbox().offer(frame, When::Never)) {
                None | Some(OfferResult::Queued) => {}
                Some(OfferResult::Deferred) => socket.outbox().flush_deferred(),
                Some(_) => return next,
            }
            next += 1;
        }
        next
    }

    /// Publishes the changes to one member. Once a part has to wait for the session, the later
    /// parts wait behind it. Returns `false` if the queue is full.
    fn publish_changes<'s>(
        &mut self,
        socket: &'s WebSocket,
        busy_members: &mut BusyMembers<'s>,
    ) -> bool {
        let mut busy: Option<Attempts> = None;
        for at in 0..self.changes.parts() {
            let list = (CHANGES, &self.changes);
            let Some(frame) = self.encoded.part(self.room, list, at, socket.tag()) else {
                continue;
            };
            let offer = || socket.outbox().offer(frame, When::Offered);
            let published = busy.map_or_else(offer, OfferResult::Busy);
            match published {
                OfferResult::Queued => {}
                OfferResult::Deferred => socket.outbox().flush_deferred(),
                OfferResult::Busy(since) => {
                    busy_members.add(socket, frame, since);
                    busy = Some(since);
                }
                OfferResult::Dropped | OfferResult::Full | OfferResult::Closed => return false,
            }
        }
        true
    }
}

impl EncodedParts {
    fn part(
        &mut self,
        room: &str,
        (number, list): (u64, &MemberList),
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

impl Announced {
    /// Records a member that missed an announcement. Closed connections are skipped: they leave the
    /// room soon.
    fn note_missed(&mut self, socket: &WebSocket, room: &str) {
        if socket.is_closed() {
            return;
        }
        socket.outbox().note_missed();
        let (connection, namespace) = (socket.id(), socket.namespace());
        tracing::warn!(%connection, namespace, room, "the client reads too slowly and missed an \
            announcement of its room: it gets the member list once its queue has room");
        self.missed.push(socket.id());
    }
}
