//! What the handlers of one router share: state and middleware.

use std::sync::Arc;

use super::Router;
use super::compiled::{CompiledHandler, CompiledRouter, Frames};
use super::group::Group;
use crate::handler::Run;
use crate::middleware::{ErrorHooks, Layer, MiddlewareFn};
use crate::state::StateMap;

/// What a router gets from the routers around it.
pub(super) struct Outer<'a> {
    pub(super) state: &'a StateMap,
    pub(super) layers: &'a [Layer],
}

/// What the handlers of a router get.
pub(super) struct Scope {
    pub(super) state: Arc<StateMap>,
    /// The middleware of the routers around it, and its own.
    pub(super) layers: Vec<Layer>,
    pub(super) errors: ErrorHooks,
}

impl Scope {
    pub(super) fn new(router: &Router, outer: &Outer<'_>) -> Self {
        let layers = [outer.layers, &router.layers].concat();
        let state = Arc::new(router.state.over(outer.state));
        Self { state, errors: Layer::error_hooks(&layers), layers }
    }

    /// Puts the router's own middleware around its connect and disconnect handlers, which are those
    /// from `starts` on.
    pub(super) fn group(
        &self,
        own: &[Layer],
        compiled: &mut CompiledRouter,
        starts: (usize, usize),
    ) {
        let hooks: Vec<_> = own.iter().filter_map(|layer| layer.connect.clone()).collect();
        if !hooks.is_empty() {
            let group = self.around(hooks, compiled.connect.split_off(starts.0));
            compiled.connect.push(self.endpoint(group.title.clone(), group.connect()));
        }
        let hooks: Vec<_> = own.iter().filter_map(|layer| layer.disconnect.clone()).collect();
        if !hooks.is_empty() {
            let group = self.around(hooks, compiled.disconnect.split_off(starts.1));
            compiled.disconnect.push(self.endpoint(group.title.clone(), group.disconnect()));
        }
    }

    fn around(&self, hooks: Vec<MiddlewareFn>, handlers: Vec<CompiledHandler>) -> Group {
        let titles: Vec<_> = handlers.iter().map(|handler| &*handler.title).collect();
        let title = match titles[..] {
            [] => "middleware of a router".to_owned(),
            _ => format!("{} or the middleware around", titles.join(", ")),
        };
        Group { title, hooks, handlers, shared: self.errors.len() }
    }

    fn endpoint(&self, title: String, run: Run) -> CompiledHandler {
        CompiledHandler {
            title,
            run,
            state: Arc::clone(&self.state),
            decodes: false,
            is_layered: true,
            is_group: true,
            errors: self.errors.clone(),
            frames: Frames::None,
        }
    }
}

/// Gives failures that belong to no handler the middleware that all handlers have in common.
pub(super) fn share(router: &Router, outer: &StateMap, compiled: &mut CompiledRouter) {
    let mut scope = Scope::new(router, &Outer { state: outer, layers: &[] });
    let mut common = router;
    while let ([], [only]) = (&common.routes[..], &common.included[..]) {
        scope = Scope::new(only, &Outer { state: &scope.state, layers: &scope.layers });
        common = only;
    }
    compiled.errors = scope.errors;
    compiled.state = scope.state;
}

#[cfg(test)]
mod tests {
    use super::super::compiled::RouteMatch;
    use super::*;
    use crate::error::HandlerError;
    use crate::extract::Call;
    use crate::handler::Outcome;
    use crate::handler::Route;
    use crate::hub::Hub;
    use crate::middleware::{Middleware, Next, from_fn};

    struct Greeter;

    impl Middleware for Greeter {
        async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
            next.run(call).await
        }
    }

    /// How many connect and disconnect steps there are, and whether the message handler is called
    /// as it was given.
    fn compiled(router: Router) -> (usize, usize, bool) {
        let route = Route::message("say", |_: Call| async {});
        let run = Arc::clone(route.run());
        let compiled = super::super::build(
            Router::new().include(router.route(route)),
            Hub::with_default_rules().1,
            &StateMap::default(),
            &mut crate::error::Mistakes::default(),
        );
        let RouteMatch::Message(endpoint) = compiled.target("say") else {
            panic!("the message has a handler");
        };
        let bare = Arc::ptr_eq(&endpoint.run, &run);
        assert_eq!(endpoint.is_layered, !bare);
        (compiled.connect.len(), compiled.disconnect.len(), bare)
    }

    #[test]
    fn a_method_that_is_not_overridden_leaves_no_step() {
        let passing = from_fn(|call, next| async move { next.run(call).await });
        assert_eq!(compiled(Router::new()), (0, 0, true));
        assert_eq!(compiled(Router::new().middleware(Greeter)), (1, 0, true));
        assert_eq!(compiled(Router::new().middleware(passing)), (0, 0, false));
    }
}
