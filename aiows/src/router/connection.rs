//! What a router says about the connections that are served with it.

use std::sync::Arc;

use super::Router;
use super::frozen::Frozen;
use crate::limits::{Limits, RouteLimits};
use crate::transport::Subprotocols;

/// What holds for a connection in place of what the server says.
pub(crate) struct ConnectionRules {
    limits: Option<RouteLimits>,
    subprotocols: Option<Subprotocols>,
}

impl Router {
    /// Makes a router that has nothing but another one mean what that says.
    pub(crate) fn hoisted(mut self) -> Self {
        if let [only] = &mut self.included[..] {
            self.limits = std::mem::take(&mut only.limits);
            self.subprotocols = std::mem::take(&mut only.subprotocols);
        }
        self
    }

    /// Takes what the router says about its connections, and refuses what those within say about them.
    pub(crate) fn take_rules(&mut self, mistakes: &mut Vec<String>) -> ConnectionRules {
        for included in &self.included {
            included.refuse_rules(mistakes);
        }
        let limits = std::mem::take(&mut self.limits).take("Router::limits", mistakes);
        mistakes.extend(limits.iter().flat_map(RouteLimits::mistakes));
        let subprotocols = std::mem::take(&mut self.subprotocols);
        let subprotocols = subprotocols.take("Router::subprotocols", mistakes);
        mistakes.extend(subprotocols.iter().flat_map(Subprotocols::mistakes));
        ConnectionRules { limits, subprotocols }
    }

    fn refuse_rules(&self, mistakes: &mut Vec<String>) {
        let limits = self.limits.is_given().then_some(("limits", "Limits"));
        let names = self.subprotocols.is_given().then_some(("subprotocols", "Subprotocols"));
        for (method, what) in limits.into_iter().chain(names) {
            mistakes.push(format!(
                "{what} hold for a whole connection, but a router that is included in another has its \
                 own: call `Router::{method}` on the outermost one, which has the path"
            ));
        }
        for included in &self.included {
            included.refuse_rules(mistakes);
        }
    }
}

impl ConnectionRules {
    /// Gives a router its own, or the server's.
    pub(crate) fn apply(
        self,
        router: &mut Frozen,
        limits: &Arc<Limits>,
        subprotocols: &Subprotocols,
    ) {
        router.limits = match self.limits {
            Some(own) => Arc::new(own.over(limits)),
            None => Arc::clone(limits),
        };
        router.subprotocols = self.subprotocols.unwrap_or_else(|| subprotocols.clone());
    }
}
