//! One namespace: connections that share rooms and names.

use std::fmt;
use std::ops::Range;
use std::ptr;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;

use super::announce::Announcers;
use super::flush_task;
use super::group::Groups;
use super::live::Live;
use super::namespaces::{Namespaces, union};
use super::rules::Rules;
use super::runtime::LatestRuntime;
use crate::error::{Result, SendError};
use crate::outbox::Totals;
use crate::websocket::{Directory, Members, Registry, Selector, WebSocket};

/// The connections of one route, or of several that were put together.
pub(crate) struct Namespace {
    name: Box<str>,
    /// The server has no other one.
    is_alone: bool,
    server: Weak<Namespaces>,
    pub(super) live: Live,
    pub(super) rooms: Groups,
    /// Each has one member.
    pub(super) names: Groups,
    pub(super) announcers: Announcers,
    /// Those of the server, like everything below.
    pub(super) users: Arc<Groups>,
    totals: Arc<Totals>,
    pub(super) latest: Arc<LatestRuntime>,
    rules: Arc<Rules>,
}

impl Namespace {
    pub(super) fn new(
        name: &str,
        is_alone: bool,
        server: &Arc<Namespaces>,
        rules: Arc<Rules>,
    ) -> Self {
        Self {
            name: name.into(),
            is_alone,
            server: Arc::downgrade(server),
            live: Live::default(),
            rooms: Groups::default(),
            names: Groups::default(),
            announcers: Announcers::default(),
            users: Arc::clone(&server.users),
            totals: Arc::clone(&server.totals),
            latest: Arc::clone(&server.latest),
            rules,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the connections of this namespace belong to.
    pub(crate) fn registry(self: &Arc<Self>) -> Arc<dyn Registry> {
        Arc::<Self>::clone(self)
    }

    /// What was sent to all connections of the server.
    pub(crate) fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.totals)
    }

    /// Asks whether a connection that is not yet accepted may join a room.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::join`].
    pub(crate) async fn allow(&self, room: &str, socket: &WebSocket) -> Result {
        self.rules.allow(room, socket).await
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The runtime of the session that began last.
    pub(super) fn runtime(&self) -> Option<Handle> {
        self.latest.get()
    }

    /// Leaves out connections of other namespaces.
    fn own(&self, members: Members) -> Members {
        let is_own = |socket: &&WebSocket| ptr::addr_eq(Arc::as_ptr(socket.registry()), self);
        if members.iter().all(|socket| is_own(&socket)) {
            return members;
        }
        members.iter().filter(is_own).cloned().collect()
    }
}

impl Directory for Namespace {
    fn find(&self, selector: &Selector) -> std::result::Result<Members, SendError> {
        Ok(match selector {
            Selector::All if self.rules.needs_room => return Err(SendError::NoRoom),
            Selector::All => self.live.all(),
            Selector::Room { name, speaker } => {
                speaker.membership().may_speak(name)?;
                self.rooms.members(name)
            }
            Selector::Rooms(names) => union(names, |name| self.rooms.members(name)),
            Selector::Users(names) => {
                let members = union(names, |name| self.users.members(name));
                if self.is_alone { members } else { self.own(members) }
            }
            Selector::Connection(id) => self.live.get(*id).into_iter().collect(),
        })
    }

    fn everywhere(self: Arc<Self>) -> Arc<dyn Directory> {
        match self.server.upgrade() {
            Some(server) => server,
            // Without a server nobody else is connected.
            None => self,
        }
    }

    fn runtime(&self) -> Option<Handle> {
        self.latest.get()
    }

    fn write_soon(&self, members: &Members, range: Range<usize>) {
        flush_task::start(self.latest.get().as_ref(), members, range);
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .field("size", &self.live.active())
            .finish_non_exhaustive()
    }
}
