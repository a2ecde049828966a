//! The limits and subprotocols of a router, which override those of the server.

use std::sync::Arc;

use super::Router;
use super::compiled::CompiledRouter;
use crate::error::Mistakes;
use crate::handshake::Subprotocols;
use crate::limits::{Limits, RouteLimits};

/// The limits and subprotocols that the outermost router sets.
pub(crate) struct ConnectionRules {
    limits: Option<RouteLimits>,
    subprotocols: Option<Subprotocols>,
}

impl Router {
    /// Moves the rules of the only included router to this router, which the server has created
    /// around it.
    pub(crate) fn hoisted(mut self) -> Self {
        if let [only] = &mut self.included[..] {
            self.limits = std::mem::take(&mut only.limits);
            self.subprotocols = std::mem::take(&mut only.subprotocols);
        }
        self
    }

    /// Takes the rules, and reports a mistake for each included router that sets rules of its own.
    pub(crate) fn take_rules(&mut self, mistakes: &mut Mistakes) -> ConnectionRules {
        for included in &self.included {
            included.report_rules(mistakes);
        }
        let limits = self.limits.take("Router::limits", mistakes);
        mistakes.extend(limits.iter().flat_map(RouteLimits::mistakes));
        let subprotocols = self.subprotocols.take("Router::subprotocols", mistakes);
        mistakes.extend(subprotocols.iter().flat_map(Subprotocols::mistakes));
        ConnectionRules { limits, subprotocols }
    }

    fn report_rules(&self, mistakes: &mut Mistakes) {
        let limits = self.limits.is_set().then_some(("limits", "Limits"));
        let names = self.subprotocols.is_set().then_some(("subprotocols", "Subprotocols"));
        for (method, what) in limits.into_iter().chain(names) {
            mistakes.add(format!(
                "{what} apply to whole connections, but an included router sets its own: call \
                 `Router::{method}` on the outermost router, which has the path"
            ));
        }
        for included in &self.included {
            included.report_rules(mistakes);
        }
    }
}

impl ConnectionRules {
    /// Sets the rules of the compiled router; the server's rules apply where it has none.
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
