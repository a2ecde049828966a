//! The state and the middleware that the handlers of one router share.

use std::sync::Arc;

use super::Router;
use super::compiled::{CompiledHandler, CompiledRouter, Frames};
use super::handler_group::HandlerGroup;
use crate::handler::Run;
use crate::middleware::{ErrorHooks, Layer, MiddlewareFn};
use crate::state::StateMap;

/// The state and middleware that a router inherits from the routers around it.
pub(super) struct OuterScope<'a> {
    pub(super) state: &'a StateMap,
    pub(super) layers: &'a [Layer],
}

/// The state and middleware of the handlers of one router.
pub(super) struct Scope {
    pub(super) state: Arc<StateMap>,
    /// The inherited middleware, followed by the router's own.
    pub(super) layers: Vec<Layer>,
    pub(super) errors: ErrorHooks,
}

impl Scope {
    pub(super) fn new(router: &Router, outer: &OuterScope<'_>) -> Self {
        let layers = [outer.layers, &router.layers].concat();
        let state = Arc::new(router.state.over(outer.state));
        Self { state, errors: Layer::error_hooks(&layers), layers }
    }

    /// Wraps the router's connect and disconnect handlers in its own middleware. `starts` has the
    /// indexes of the first handler of each kind.
    pub(super) fn wrap_in_middleware(
        &self,
        own: &[Layer],
        compiled: &mut CompiledRouter,
        starts: (usize, usize),
    ) {
        let hooks: Vec<_> = own.iter().filter_map(|layer| layer.connect.clone()).collect();
        if !hooks.is_empty() {
            let group = self.new_group(hooks, compiled.connect.split_off(starts.0));
            compiled.connect.push(self.compile_group(group.title.clone(), group.connect()));
        }
        let hooks: Vec<_> = own.iter().filter_map(|layer| layer.disconnect.clone()).collect();
        if !hooks.is_empty() {
            let group = self.new_group(hooks, compiled.disconnect.split_off(starts.1));
            compiled.disconnect.push(self.compile_group(group.title.clone(), group.disconnect()));
        }
    }

    fn new_group(&self, hooks: Vec<MiddlewareFn>, handlers: Vec<CompiledHandler>) -> HandlerGroup {
        let titles: Vec<_> = handlers.iter().map(|handler| &*handler.title).collect();
        let title = match titles[..] {
            [] => "middleware of a router".to_owned(),
            _ => format!("{} or the middleware around", titles.join(", ")),
        };
        HandlerGroup { title, hooks, handlers, shared_hooks: self.errors.len() }
    }

    fn compile_group(&self, title: String, run: Run) -> CompiledHandler {
        CompiledHandler {
            title,
            run,
            state: Arc::clone(&self.state),
            decodes: false,
            is_group: true,
            errors: self.errors.clone(),
            frames: Frames::None,
        }
    }
}

/// Gives errors that belong to no handler the hooks and the state that all handlers have in common.
pub(super) fn set_common_scope(router: &Router, outer: &StateMap, compiled: &mut CompiledRouter) {
    let mut scope = Scope::new(router, &OuterScope { state: outer, layers: &[] });
    let mut common = router;
    while let ([], [only]) = (&common.routes[..], &common.included[..]) {
        scope = Scope::new(only, &OuterScope { state: &scope.state, layers: &scope.layers });
        common = only;
    }
    compiled.errors = scope.errors;
    compiled.state = scope.state;
}

#[cfg(test)]
mod tests {
    use super::super::RouteMatch;
    use super::*;
    use crate::error::HandlerError;
    use crate::extract::Call;
    use crate::handler::{Outcome, Route};
    use crate::hub::Hub;
    use crate::middleware::{Middleware, Next, from_fn};
    use crate::protocol::Inbound;

    struct Greeter;

    impl Middleware for Greeter {
        async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
            next.run(call).await
        }
    }

    /// Returns the number of connect and disconnect steps, and whether the message handler is
    /// called without middleware.
    fn compiled(router: Router) -> (usize, usize, bool) {
        let route = Route::message("say", |_: Call| async {});
        let run = Arc::clone(route.run());
        let compiled = super::super::build(
            Router::new().include(router.route(route)),
            Hub::with_default_rules().1,
            &StateMap::default(),
            &mut crate::error::Mistakes::default(),
        );
        let say = Inbound::text(r#"{"type":"say"}"#.into());
        let RouteMatch::Handler(handler, _) = compiled.resolve(&say) else {
            panic!("the message has a handler");
        };
        let bare = Arc::ptr_eq(&handler.run, &run);
        (compiled.connect.len(), compiled.disconnect.len(), bare)
    }

    #[test]
    fn a_method_that_is_not_overridden_adds_no_step() {
        let passing = from_fn(|call, next| async move { next.run(call).await });
        assert_eq!(compiled(Router::new()), (0, 0, true));
        assert_eq!(compiled(Router::new().middleware(Greeter)), (1, 0, true));
        assert_eq!(compiled(Router::new().middleware(passing)), (0, 0, false));
    }
}
