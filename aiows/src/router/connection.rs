//! Rules of a router for its connections, which take the place of the server's.

use std::sync::Arc;

use super::Router;
use super::compiled::CompiledRouter;
use crate::error::Mistakes;
use crate::handshake::Subprotocols;
use crate::limits::{Limits, RouteLimits};

/// The rules of the outermost router.
pub(crate) struct ConnectionRules {
    limits: Option<RouteLimits>,
    subprotocols: Option<Subprotocols>,
}

impl Router {
    /// Moves the rules of the only included router to the one around it, which the server has made.
    pub(crate) fn hoisted(mut self) -> Self {
        if let [only] = &mut self.included[..] {
            self.limits = std::mem::take(&mut only.limits);
            self.subprotocols = std::mem::take(&mut only.subprotocols);
        }
        self
    }

    /// Takes the rules, and notes a mistake for every included router that has rules of its own.
    pub(crate) fn take_rules(&mut self, mistakes: &mut Mistakes) -> ConnectionRules {
        for included in &self.included {
            included.refuse_rules(mistakes);
        }
        let limits = self.limits.take("Router::limits", mistakes);
        mistakes.extend(limits.iter().flat_map(RouteLimits::mistakes));
        let subprotocols = self.subprotocols.take("Router::subprotocols", mistakes);
        mistakes.extend(subprotocols.iter().flat_map(Subprotocols::mistakes));
        ConnectionRules { limits, subprotocols }
    }

    fn refuse_rules(&self, mistakes: &mut Mistakes) {
        let limits = self.limits.is_given().then_some(("limits", "Limits"));
        let names = self.subprotocols.is_given().then_some(("subprotocols", "Subprotocols"));
        for (method, what) in limits.into_iter().chain(names) {
            mistakes.add(format!(
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
    /// Sets the rules of a router: its own, or else the server's.
    pub(crate) fn apply(
        self,
        router: &mut CompiledRouter,
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
