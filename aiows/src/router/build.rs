//! Compiles a router with all routers it includes, and reports every mistake.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Router;
use super::check_route;
use super::compiled::{CompiledHandler, CompiledRouter, Frames};
use super::scope::{self, OuterScope, Scope};
use super::shared_types::SharedTypes;
use crate::codec::{CORRELATION_ID, ID, PRIVATE, Tag};
use crate::error::Mistakes;
use crate::extract::Need;
use crate::handler::{Ended, Kind, Route};
use crate::hub::Namespace;
use crate::middleware::{Layer, MiddlewareFn, wrap};
use crate::state::StateMap;

/// Keys of messages that the framework writes itself, which therefore cannot be a tag.
const KEYS: [&str; 14] = [
    CORRELATION_ID,
    ID,
    "code",
    "error_id",
    "fields",
    "members",
    "message",
    "message_type",
    "more_fields",
    "params",
    "part",
    "parts",
    "retry_after_ms",
    "room",
];

/// Compiles a router, with the server's state as `outer`, and collects every mistake.
pub(crate) fn build(
    router: Router,
    namespace: Arc<Namespace>,
    outer: &StateMap,
    mistakes: &mut Mistakes,
) -> CompiledRouter {
    let mut compiled = CompiledRouter::new(namespace, tag(&router, mistakes));
    let mut registered = Registered::default();
    compiled.room = room(&router, mistakes);
    scope::set_common_scope(&router, outer, &mut compiled);
    let outer = OuterScope { state: outer, layers: &[] };
    add(router, "", &outer, &mut compiled, &mut registered, mistakes);
    compiled
}

/// What earlier handlers are registered for, to find repetitions.
#[derive(Default)]
struct Registered {
    messages: HashMap<String, String>,
    /// By prefix.
    fallbacks: HashMap<String, String>,
    shared_types: SharedTypes,
}

fn tag(router: &Router, mistakes: &mut Mistakes) -> Tag {
    match values(router, &|router| &router.tags)[..] {
        [] => Tag::default(),
        [""] => {
            mistakes.add(
                "the tag of a router must not be empty: pass the key that carries the message type"
                    .to_owned(),
            );
            Tag::default()
        }
        [key] if KEYS.contains(&key) || key.starts_with(PRIVATE) => {
            mistakes.add(format!(
                "the tag of a router must not be `{key}`: the framework uses that key, \
                 choose another"
            ));
            Tag::default()
        }
        [key] => Tag::new(key),
        [first, second, ..] => {
            mistakes.add(format!(
                "one connection has one tag, but its routers set `{first}` and `{second}`: set it \
                 once, on the outermost router"
            ));
            Tag::default()
        }
    }
}

fn room(router: &Router, mistakes: &mut Mistakes) -> Option<String> {
    match values(router, &|router| &router.rooms)[..] {
        [] => None,
        [parameter] => Some(parameter.to_owned()),
        [first, second, ..] => {
            mistakes.add(format!(
                "a connection joins one room of its path, but its routers name the parameters \
                 `{first}` and `{second}`: call `Router::join_from_path` once"
            ));
            None
        }
    }
}

/// Returns the values that a router and its included routers set, without consecutive duplicates.
fn values<'a>(router: &'a Router, of: &dyn Fn(&'a Router) -> &'a [String]) -> Vec<&'a str> {
    let mut all: Vec<_> = of(router).iter().map(String::as_str).collect();
    for included in &router.included {
        all.extend(values(included, of));
    }
    all.dedup();
    all
}

fn add(
    router: Router,
    prefix: &str,
    outer: &OuterScope<'_>,
    compiled: &mut CompiledRouter,
    registered: &mut Registered,
    mistakes: &mut Mistakes,
) {
    check_state(&router.state, "a router", mistakes);
    let scope = Scope::new(&router, outer);
    compiled.handshake.add(Layer::handshake_hooks(&router.layers), &scope.state);
    let starts = (compiled.connect.len(), compiled.disconnect.len());
    let prefix = format!("{prefix}{}", router.prefix);
    for mut route in router.routes {
        route.nest(&prefix);
        check_route::check(&route, &scope.state, &compiled.tag, mistakes);
        registered.shared_types.check(&route, mistakes);
        compiled.request_needs.note(&route);
        insert(&route, &scope, &prefix, compiled, registered, mistakes);
    }
    let inner = OuterScope { state: &scope.state, layers: &scope.layers };
    for router in router.included {
        add(router, &prefix, &inner, compiled, registered, mistakes);
    }
    scope.wrap_in_middleware(&router.layers, compiled, starts);
}

/// Adds a handler, unless another one handles the same event.
fn insert(
    route: &Route,
    scope: &Scope,
    prefix: &str,
    compiled: &mut CompiledRouter,
    registered: &mut Registered,
    mistakes: &mut Mistakes,
) {
    let handler = compile_handler(route, scope);
    match route.kind() {
        Kind::Connect => compiled.connect.push(handler),
        Kind::Disconnect(ended) => {
            if *ended == Ended::Any {
                compiled.refused.push(compile_handler(route, scope));
            }
            compiled.disconnect.push(handler);
        }
        Kind::Fallback => match registered.fallbacks.entry(prefix.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(route.title());
                compiled.add_fallback(prefix, handler);
            }
            Entry::Occupied(first) => {
                mistakes.add(two_fallbacks(prefix, first.get(), &route.title()));
            }
        },
        Kind::Message(name) => match registered.messages.entry(name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(route.title());
                compiled.add_message(name, handler);
            }
            Entry::Occupied(first) => mistakes.add(format!(
                "message type \"{name}\" is handled by both {} and {}: remove one of them",
                first.get(),
                route.title()
            )),
        },
    }
}

fn two_fallbacks(prefix: &str, first: &str, second: &str) -> String {
    match prefix {
        "" => format!("{first} and {second} are both fallback handlers: keep one of them"),
        _ => format!(
            "{first} and {second} are both fallback handlers of the prefix \"{prefix}\": \
             keep one of them"
        ),
    }
}

pub(crate) fn check_state(state: &StateMap, owner: &str, mistakes: &mut Mistakes) {
    for name in state.repeated() {
        mistakes.add(format!(
            "{owner} has two states of type `{name}`: wrap one in a type of your own, or use \
             `replace_state`"
        ));
    }
}

fn compile_handler(route: &Route, scope: &Scope) -> CompiledHandler {
    let in_message = matches!(route.kind(), Kind::Message(_) | Kind::Fallback);
    let hooks: Vec<MiddlewareFn> = match in_message {
        true => scope.layers.iter().filter_map(|layer| layer.message.clone()).collect(),
        false => Vec::new(),
    };
    CompiledHandler {
        title: route.title(),
        state: Arc::clone(&scope.state),
        decodes: route.needs().iter().any(|need| matches!(need, Need::Payload { .. })),
        is_group: false,
        run: wrap(&hooks, Arc::clone(route.run())),
        errors: scope.errors.clone(),
        frames: Frames::of(route),
    }
}
