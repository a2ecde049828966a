//! All namespaces of one server.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use super::group::Groups;
use super::namespace::Namespace;
use super::rules::Rules;
use super::runtime::LatestRuntime;
use super::{Hub, flush_task};
use crate::error::SendError;
use crate::id::ConnectionId;
use crate::outbox::{CloseRequest, Outbound, Totals};
use crate::websocket::{Directory, Members, Selector, WebSocket};

/// What a server knows of its connections, and their namespaces.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Set by the build of the server and by nothing else. Until then nobody can be connected, so
    /// nothing is sent or joined.
    list: OnceLock<Box<[Arc<Namespace>]>>,
    /// A user is one for all namespaces.
    pub(super) users: Arc<Groups>,
    /// What was sent to all connections.
    pub(super) totals: Arc<Totals>,
    pub(super) latest: Arc<LatestRuntime>,
}

/// The namespaces of this server were made before, so others cannot take effect.
#[derive(Debug)]
pub(crate) struct AlreadyBuilt;

impl Namespaces {
    /// # Errors
    ///
    /// `AlreadyBuilt` if there is a list.
    fn set_list(&self, list: impl IntoIterator<Item = Arc<Namespace>>) -> Result<(), AlreadyBuilt> {
        self.list.set(list.into_iter().collect()).map_err(|_| AlreadyBuilt)
    }

    /// The namespaces; none before the build.
    pub(super) fn list(&self) -> &[Arc<Namespace>] {
        self.list.get().map_or(&[], |list| list)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.list().iter().find(|namespace| namespace.name() == name)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<WebSocket> {
        self.list().iter().find_map(|namespace| namespace.live.get(id))
    }
}

/// What the server does with its hub.
impl Hub {
    /// The runtime of the session that began last.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.server.runtime()
    }

    /// Asks every connection that is still to come to leave, and returns those there are.
    pub(crate) fn close_door(&self, request: &CloseRequest) -> Vec<WebSocket> {
        let namespaces = self.server.list();
        // Every client leaves, so no announcement has a reader.
        namespaces.iter().for_each(|namespace| namespace.announcers.end());
        namespaces.iter().flat_map(|namespace| namespace.live.close_door(request)).collect()
    }

    /// What was sent to all connections of the server, those that have ended included.
    pub(crate) fn outbound(&self) -> Outbound {
        let namespaces = self.server.list();
        // In the order of the list. Nobody else holds two of these locks.
        let lives: Vec<_> = namespaces.iter().map(|namespace| namespace.live.lock()).collect();
        let sockets = lives.iter().flat_map(|connections| connections.sockets());
        self.server.totals.with(sockets.map(WebSocket::outbox))
    }

    /// How many connections there were since the start.
    pub(crate) fn total(&self) -> u64 {
        self.server.list().iter().map(|namespace| namespace.live.total()).sum()
    }

    /// Makes the namespaces of the server that this hub belongs to, and returns one for each of `names`:
    /// the same one for the same name.
    ///
    /// # Errors
    ///
    /// `AlreadyBuilt` if there are namespaces.
    pub(crate) fn open(
        &self,
        names: &[&str],
        rules: Rules,
    ) -> Result<Vec<Arc<Namespace>>, AlreadyBuilt> {
        let mut distinct: Vec<_> = names.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let (server, is_alone, rules) = (&self.server, distinct.len() == 1, Arc::new(rules));
        let namespace = |name| Arc::new(Namespace::new(name, is_alone, server, Arc::clone(&rules)));
        server.set_list(distinct.into_iter().map(namespace))?;
        Ok(names.iter().filter_map(|name| server.named(name)).cloned().collect())
    }

    /// The hub of a namespace of this server.
    pub(crate) fn of(&self, namespace: &Arc<Namespace>) -> Self {
        Self { server: Arc::clone(&self.server), own: Some(Arc::clone(namespace)) }
    }

    /// Makes the hub of a server with one namespace, default limits and no other rules.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn with_default_rules() -> (Self, Arc<Namespace>) {
        let server = Arc::<Namespaces>::default();
        let namespace = Arc::new(Namespace::new(super::ROOT, true, &server, Arc::default()));
        // A new server has no list.
        let _ = server.set_list([Arc::clone(&namespace)]);
        (Self { server, own: None }, namespace)
    }
}

impl Directory for Namespaces {
    fn find(&self, selector: &Selector) -> Result<Members, SendError> {
        match (self.list(), selector) {
            // Before the build.
            ([], _) => Ok(Members::default()),
            ([only], _) => only.find(selector),
            (_, Selector::Rooms(_) | Selector::Room { .. }) => Err(SendError::NoNamespace),
            (_, Selector::Users(names)) => Ok(union(names, |name| self.users.members(name))),
            (all, Selector::All | Selector::Connection(_)) => {
                let lists: Result<Vec<_>, _> = all.iter().map(|each| each.find(selector)).collect();
                Ok(concat(lists?))
            }
        }
    }

    fn everywhere(self: Arc<Self>) -> Arc<dyn Directory> {
        self
    }

    fn runtime(&self) -> Option<Handle> {
        self.latest.get()
    }

    fn write_soon(&self, members: &Members, range: Range<usize>) {
        flush_task::start(self.latest.get().as_ref(), members, range);
    }
}

/// Joins lists that have no connection in common.
fn concat(mut lists: Vec<Members>) -> Members {
    lists.retain(|list| !list.is_empty());
    match &lists[..] {
        [only] => Arc::clone(only),
        _ => lists.iter().flat_map(|list| list.iter()).cloned().collect(),
    }
}

/// The members of all groups, each once.
pub(super) fn union(names: &[String], members: impl Fn(&str) -> Members) -> Members {
    if let [name] = names {
        return members(name);
    }
    let mut seen = HashSet::new();
    let groups: Vec<_> = names.iter().map(|name| members(name)).collect();
    let all = groups.iter().flat_map(|group| group.iter());
    all.filter(|socket| seen.insert(socket.id())).cloned().collect()
}
