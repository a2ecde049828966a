//! Values of a connection that the handlers of two modules would share by accident.

use std::any::TypeId;
use std::collections::HashMap;

use crate::error::Mistakes;
use crate::extract::{Kept, Need};
use crate::handler::Route;
use crate::state::is_foreign;

/// The handlers that take values of types which belong to no module of the application, one of each
/// module.
#[derive(Default)]
pub(super) struct Takers(HashMap<(Kept, TypeId), Vec<Route>>);

impl Takers {
    /// Notes what a handler takes. If a handler of another module takes it, too, neither can know what
    /// the other one keeps there.
    pub(super) fn note(&mut self, route: &Route, mistakes: &mut Mistakes) {
        for need in route.needs().iter() {
            let Need::Kept { by, name, key } = need else { continue };
            if !is_foreign(name) {
                continue;
            }
            let takers = self.0.entry((*by, *key)).or_default();
            if takers.iter().any(|taker| taker.is_beside(route)) {
                continue;
            }
            if let Some(first) = takers.first() {
                mistakes.add(format!(
                    "handlers {} and {} are in different modules and share one `{by:?}<{name}>`: wrap \
                     it in a type of your own, one for each module or one for both",
                    first.title(),
                    route.title()
                ));
            }
            takers.push(route.clone());
        }
    }
}
