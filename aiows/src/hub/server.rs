//! What the server does with its hub.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Hub;
use super::namespace::{AlreadyBuilt, Namespace};
use super::rules::Rules;
use crate::outbox::{CloseRequest, Outbound};
use crate::websocket::{Directory, WebSocket};

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
        let server = Arc::<super::namespace::Namespaces>::default();
        let namespace = Arc::new(Namespace::new(super::ROOT, true, &server, Arc::default()));
        // A new server has no list.
        let _ = server.set_list([Arc::clone(&namespace)]);
        (Self { server, own: None }, namespace)
    }
}
