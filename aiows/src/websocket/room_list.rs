//! The rooms of one connection.

use std::sync::Arc;

use super::changes::{Departure, Left};

/// The rooms of a connection, in the order in which it joined them.
#[derive(Debug)]
pub(crate) enum Rooms {
    /// The connection has not ended.
    Joined(Vec<Arc<str>>),
    /// The rooms it was in when it ended, and whether it was the last member of each.
    Left(Box<[(Arc<str>, bool)]>),
}

impl Default for Rooms {
    fn default() -> Self {
        Self::Joined(Vec::new())
    }
}

impl Rooms {
    pub(crate) fn has(&self, room: &str) -> bool {
        match self {
            Self::Joined(rooms) => rooms.iter().any(|joined| **joined == *room),
            Self::Left(rooms) => rooms.iter().any(|(left, _)| **left == *room),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Joined(rooms) => rooms.len(),
            Self::Left(rooms) => rooms.len(),
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let owned = |room: &Arc<str>| room.as_ref().to_owned();
        match self {
            Self::Joined(rooms) => rooms.iter().map(owned).collect(),
            Self::Left(rooms) => rooms.iter().map(|(room, _)| owned(room)).collect(),
        }
    }

    /// The rooms that the connection is in; none once it has ended.
    pub(crate) fn joined(&self) -> &[Arc<str>] {
        match self {
            Self::Joined(rooms) => rooms,
            Self::Left(_) => &[],
        }
    }

    pub(crate) fn push(&mut self, room: Arc<str>) {
        match self {
            Self::Joined(rooms) => rooms.push(room),
            Self::Left(rooms) => {
                let mut all = std::mem::take(rooms).into_vec();
                all.push((room, false));
                *rooms = all.into();
            }
        }
    }

    /// Removes a room that the connection is in; `false` if it is not in this room.
    pub(crate) fn remove(&mut self, room: &str) -> bool {
        let Self::Joined(rooms) = self else { return false };
        let Some(at) = rooms.iter().position(|joined| **joined == *room) else { return false };
        rooms.remove(at);
        true
    }

    /// Removes a room that the connection was in when it ended, and returns the effect of leaving
    /// it.
    pub(crate) fn forget(&mut self, room: &str) -> Left {
        let Self::Left(rooms) = self else { return Left::default() };
        let mut known = std::mem::take(rooms).into_vec();
        let at = known.iter().position(|(left, _)| **left == *room);
        let forgotten = at.map(|at| known.remove(at));
        *rooms = known.into();
        forgotten.map_or_else(Left::default, |(_, is_last)| Left { was_member: true, is_last })
    }

    /// Leaves all rooms, and remembers them; `leave` returns whether the connection was the last
    /// member.
    pub(crate) fn leave_all(&mut self, mut leave: impl FnMut(&Arc<str>) -> bool) {
        let Self::Joined(rooms) = self else { return };
        let left = std::mem::take(rooms).into_iter().map(|room| {
            let is_last = leave(&room);
            (room, is_last)
        });
        *self = Self::Left(left.collect());
    }

    /// Returns the rooms that the end of the connection has left empty.
    pub(crate) fn departure(&self, is_last_of_user: bool) -> Departure {
        let rooms = match self {
            Self::Joined(_) => Vec::new(),
            Self::Left(rooms) => {
                let last = rooms.iter().filter(|(_, is_last)| *is_last);
                last.map(|(room, _)| Arc::clone(room)).collect()
            }
        };
        Departure { rooms, is_last_of_user }
    }
}
