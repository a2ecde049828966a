//! Finds connection values that handlers of two modules would share by accident.

use std::any::TypeId;
use std::collections::HashMap;

use crate::error::Mistakes;
use crate::extract::{Kept, Need};
use crate::handler::Route;
use crate::state::is_foreign;

/// The handlers that use connection values of foreign types such as `String`, one handler per
/// module.
#[derive(Default)]
pub(super) struct SharedTypes(HashMap<(Kept, TypeId), Vec<Route>>);

impl SharedTypes {
    /// Records the values that a handler uses. If a handler of another module uses the same type,
    /// neither can know what the other one stores there, which is a mistake.
    pub(super) fn check(&mut self, route: &Route, mistakes: &mut Mistakes) {
        for need in route.needs().iter() {
            let Need::Kept { by, name, key } = need else { continue };
            if !is_foreign(name) {
                continue;
            }
            let takers = self.0.entry((*by, *key)).or_default();
            if takers.iter().any(|taker| taker.is_in_same_module(route)) {
                continue;
            }
            if let Some(first) = takers.first() {
                mistakes.add(format!(
                    "handlers {} and {} are in different modules and share one `{by:?}<{name}>`: \
                     wrap it in a type of your own, one for each module or one for both",
                    first.title(),
                    route.title()
                ));
            }
            takers.push(route.clone());
        }
    }
}
