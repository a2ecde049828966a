//! Namespaces: groups of connections that share rooms and names.

use std::collections::HashSet;
use std::fmt;
use std::ptr;
use std::sync::{Arc, OnceLock, Weak};

use super::announcement_tasks::AnnouncementTasks;
use super::connections::Connections;
use super::group::Groups;
use super::rules::Rules;
use super::runtime::LatestRuntime;
use crate::error::{Result, SendError};
use crate::id::ConnectionId;
use crate::outbox::Totals;
use crate::websocket::{Directory, Found, Members, Registry, Selector, WebSocket};

/// The connections of one route, or of several routes with the same namespace name.
pub(crate) struct Namespace {
    name: Box<str>,
    /// Whether the server has no other namespace.
    is_only: bool,
    server: Weak<Namespaces>,
    pub(super) connections: Connections,
    pub(super) rooms: Groups,
    /// Connections by name; each group has one member.
    pub(super) names: Groups,
    pub(super) announcements: AnnouncementTasks,
    /// The users of the whole server; the fields below are shared with it as well.
    pub(super) users: Arc<Groups>,
    totals: Arc<Totals>,
    pub(super) latest: Arc<LatestRuntime>,
    pub(super) rules: Arc<Rules>,
}

impl Namespace {
    pub(super) fn new(
        name: &str,
        is_only: bool,
        server: &Arc<Namespaces>,
        rules: Arc<Rules>,
    ) -> Self {
        Self {
            name: name.into(),
            is_only,
            server: Arc::downgrade(server),
            connections: Connections::default(),
            rooms: Groups::default(),
            names: Groups::default(),
            announcements: AnnouncementTasks::default(),
            users: Arc::clone(&server.users),
            totals: Arc::clone(&server.totals),
            latest: Arc::clone(&server.latest),
            rules,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns this namespace as the registry of its connections.
    pub(crate) fn registry(self: &Arc<Self>) -> Arc<dyn Registry> {
        Arc::<Self>::clone(self)
    }

    /// Returns the message counts of all connections of the server.
    pub(crate) fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.totals)
    }

    /// Checks whether a connection that is not yet accepted may join a room.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::join`].
    pub(crate) async fn allow(&self, room: &str, socket: &WebSocket) -> Result {
        self.rules.allow(room, socket).await
    }

    /// Removes connections of other namespaces.
    fn own(&self, members: Members) -> Members {
        let is_own = |socket: &&WebSocket| ptr::addr_eq(Arc::as_ptr(socket.registry()), self);
        if members.iter().all(|socket| is_own(&socket)) {
            return members;
        }
        members.iter().filter(is_own).cloned().collect()
    }
}

impl Directory for Namespace {
    fn find(&self, selector: &Selector) -> Result<Found, SendError> {
        let members = match selector {
            Selector::All if self.rules.needs_room => return Err(SendError::NoRoom),
            Selector::All => self.connections.all(),
            Selector::Room { name, sender } => {
                if let Some(sender) = sender {
                    sender.membership().may_send_to(name)?;
                }
                self.rooms.members(name)
            }
            Selector::Rooms(names) => union(names, |name| self.rooms.members(name)),
            Selector::Users(names) => {
                let members = union(names, |name| self.users.members(name));
                if self.is_only { members } else { self.own(members) }
            }
            Selector::Connection(id) => self.connections.get(*id).into_iter().collect(),
        };
        Ok(Found { members, runtime: self.latest.get() })
    }

    fn everywhere(self: Arc<Self>) -> Arc<dyn Directory> {
        match self.server.upgrade() {
            Some(server) => server,
            // The server is gone, so no other namespace has connections.
            None => self,
        }
    }
}

/// The state that the namespaces of one server share, and the namespaces.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Set once, when the server is built. Before that no connection exists.
    list: OnceLock<Box<[Arc<Namespace>]>>,
    /// Users are the same in all namespaces.
    pub(super) users: Arc<Groups>,
    /// Message counts of all connections.
    pub(super) totals: Arc<Totals>,
    pub(super) latest: Arc<LatestRuntime>,
}

/// The namespaces of this server exist already and cannot be replaced.
#[derive(Debug)]
pub(crate) struct AlreadyBuilt;

impl Namespaces {
    /// # Errors
    ///
    /// `AlreadyBuilt` if the list is set.
    pub(super) fn set_list(
        &self,
        list: impl IntoIterator<Item = Arc<Namespace>>,
    ) -> Result<(), AlreadyBuilt> {
        self.list.set(list.into_iter().collect()).map_err(|_| AlreadyBuilt)
    }

    /// Returns the namespaces; an empty list before the build.
    pub(super) fn list(&self) -> &[Arc<Namespace>] {
        self.list.get().map_or(&[], |list| list)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.list().iter().find(|namespace| namespace.name() == name)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        self.list().iter().find_map(|namespace| namespace.connections.get(id))
    }
}

impl Directory for Namespaces {
    fn find(&self, selector: &Selector) -> Result<Found, SendError> {
        let members = match (self.list(), selector) {
            // The server is not built yet.
            ([], _) => Members::default(),
            ([only], _) => return only.find(selector),
            (_, Selector::Rooms(_) | Selector::Room { .. }) => return Err(SendError::NoNamespace),
            (_, Selector::Users(names)) => union(names, |name| self.users.members(name)),
            (all, Selector::All | Selector::Connection(_)) => {
                let lists = all.iter().map(|each| Ok(each.find(selector)?.members));
                concat(lists.collect::<Result<_, _>>()?)
            }
        };
        Ok(Found { members, runtime: self.latest.get() })
    }

    fn everywhere(self: Arc<Self>) -> Arc<dyn Directory> {
        self
    }
}

/// Concatenates lists that have no connection in common.
fn concat(mut lists: Vec<Members>) -> Members {
    lists.retain(|list| !list.is_empty());
    match &lists[..] {
        [only] => Arc::clone(only),
        _ => lists.iter().flat_map(|list| list.iter()).cloned().collect(),
    }
}

/// Returns the members of all groups, each of them once.
fn union(names: &[String], members: impl Fn(&str) -> Members) -> Members {
    if let [name] = names {
        return members(name);
    }
    let mut seen = HashSet::new();
    let groups: Vec<_> = names.iter().map(|name| members(name)).collect();
    let all = groups.iter().flat_map(|group| group.iter());
    all.filter(|socket| seen.insert(socket.id())).cloned().collect()
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .field("size", &self.connections.active())
            .finish_non_exhaustive()
    }
}
