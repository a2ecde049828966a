//! The operations of a hub that only the server uses.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Hub;
use super::namespace::{AlreadyBuilt, Namespace};
use super::rules::Rules;
use crate::outbox::{CloseRequest, Outbound};
use crate::websocket::WebSocket;

impl Hub {
    /// Returns the runtime of the session that started last.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.server.latest.get()
    }

    /// Makes later connections close with `request`, and returns the present ones.
    pub(crate) fn stop_admitting(&self, request: &CloseRequest) -> Vec<WebSocket> {
        let namespaces = self.server.list();
        // All clients are leaving, so announcements have no readers.
        namespaces.iter().for_each(|namespace| namespace.announcements.stop());
        namespaces
            .iter()
            .flat_map(|namespace| namespace.connections.stop_admitting(request))
            .collect()
    }

    /// Returns the message counts of all connections of the server, including those that have
    /// ended.
    pub(crate) fn outbound(&self) -> Outbound {
        let namespaces = self.server.list();
        // Locked in the order of the list. No other code holds two of these locks.
        let lives: Vec<_> =
            namespaces.iter().map(|namespace| namespace.connections.lock()).collect();
        let sockets = lives.iter().flat_map(|connections| connections.sockets());
        self.server.totals.with(sockets.map(WebSocket::outbox))
    }

    /// Returns how many connections were registered since the start.
    pub(crate) fn total(&self) -> u64 {
        self.server.list().iter().map(|namespace| namespace.connections.total()).sum()
    }

    /// Creates the namespaces of the server, and returns one for each of `names`. Equal names share
    /// one namespace.
    ///
    /// # Errors
    ///
    /// `AlreadyBuilt` if the namespaces exist already.
    pub(crate) fn open(
        &self,
        names: &[&str],
        rules: Rules,
    ) -> Result<Vec<Arc<Namespace>>, AlreadyBuilt> {
        let mut distinct: Vec<_> = names.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let (server, is_only, rules) = (&self.server, distinct.len() == 1, Arc::new(rules));
        let namespace = |name| Arc::new(Namespace::new(name, is_only, server, Arc::clone(&rules)));
        server.set_list(distinct.into_iter().map(namespace))?;
        Ok(names.iter().filter_map(|name| server.named(name)).cloned().collect())
    }

    /// Returns the hub of a namespace of this server.
    pub(crate) fn of(&self, namespace: &Arc<Namespace>) -> Self {
        Self { server: Arc::clone(&self.server), own: Some(Arc::clone(namespace)) }
    }

    /// Creates the hub of a server with one namespace, default limits and no other rules.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn with_default_rules() -> (Self, Arc<Namespace>) {
        let server = Arc::<super::namespace::Namespaces>::default();
        let namespace = Arc::new(Namespace::new(super::ROOT, true, &server, Arc::default()));
        // Cannot fail: a new server has no list.
        let _ = server.set_list([Arc::clone(&namespace)]);
        (Self { server, own: None }, namespace)
    }
}
