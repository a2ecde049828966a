use std::any::TypeId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Router;
use super::compiled::{CompiledHandler, CompiledRouter, Frames};
use super::scope::{self, Outer, Scope};
use super::values::Takers;
use crate::codec::{CORRELATION_ID, ID, Mismatch, PRIVATE, Tag, is_reserved};
use crate::extract::{Kept, Need};
use crate::handler::{Ended, Kind, Route};
use crate::hub::Namespace;
use crate::middleware::{Layer, MiddlewareFn, wrap};
use crate::state::StateMap;

/// Keys of the messages that the framework itself writes, which no tag may be.
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

/// Freezes a router over the server's state, noting every mistake.
pub(crate) fn build(
    router: Router,
    namespace: Arc<Namespace>,
    outer: &StateMap,
    mistakes: &mut Vec<String>,
) -> CompiledRouter {
    let mut compiled = CompiledRouter::new(namespace, tag(&router, mistakes));
    let mut known = Known::default();
    compiled.room = room(&router, mistakes);
    scope::share(&router, outer, &mut compiled);
    let outer = Outer { state: outer, layers: &[] };
    add(router, "", &outer, &mut compiled, &mut known, mistakes);
    compiled
}

/// The handlers that a later one must not repeat, or share a value with.
#[derive(Default)]
struct Known {
    messages: HashMap<String, String>,
    /// By their prefixes.
    fallbacks: HashMap<String, String>,
    takers: Takers,
}

fn tag(router: &Router, mistakes: &mut Vec<String>) -> Tag {
    match said(router, &|router| &router.tags)[..] {
        [] => Tag::default(),
        [""] => {
            mistakes.push("the tag of a router must not be empty".to_owned());
            Tag::default()
        }
        [key] if KEYS.contains(&key) || key.starts_with(PRIVATE) => {
            mistakes.push(format!(
                "the tag of a router must not be `{key}`: the framework uses that key, choose another"
            ));
            Tag::default()
        }
        [key] => Tag::new(key),
        [first, second, ..] => {
            mistakes.push(format!(
                "one connection has one tag, but its routers say `{first}` and `{second}`"
            ));
            Tag::default()
        }
    }
}

fn room(router: &Router, mistakes: &mut Vec<String>) -> Option<String> {
    match said(router, &|router| &router.rooms)[..] {
        [] => None,
        [parameter] => Some(parameter.to_owned()),
        [first, second, ..] => {
            mistakes.push(format!(
                "a path names one room to join, but its routers say `{first}` and `{second}`"
            ));
            None
        }
    }
}

/// What a router and those it includes say about the whole connection, each thing once.
fn said<'a>(router: &'a Router, of: &dyn Fn(&'a Router) -> &'a [String]) -> Vec<&'a str> {
    let mut all: Vec<_> = of(router).iter().map(String::as_str).collect();
    for included in &router.included {
        all.extend(said(included, of));
    }
    all.dedup();
    all
}

fn add(
    router: Router,
    prefix: &str,
    outer: &Outer<'_>,
    compiled: &mut CompiledRouter,
    known: &mut Known,
    mistakes: &mut Vec<String>,
) {
    check_state(&router.state, "a router", mistakes);
    let scope = Scope::new(&router, outer);
    compiled.handshake.add(Layer::handshake_hooks(&router.layers), &scope.state);
    let starts = (compiled.connect.len(), compiled.disconnect.len());
    let prefix = format!("{prefix}{}", router.prefix);
    for mut route in router.routes {
        route.nest(&prefix);
        check(&route, &scope, &compiled.tag, mistakes);
        known.takers.note(&route, mistakes);
        compiled.request_needs.note(&route);
        insert(&route, &scope, &prefix, compiled, known, mistakes);
    }
    let inner = Outer { state: &scope.state, layers: &scope.layers };
    for router in router.included {
        add(router, &prefix, &inner, compiled, known, mistakes);
    }
    scope.group(&router.layers, compiled, starts);
}

/// Checks what a handler takes and what it handles.
fn check(route: &Route, scope: &Scope, tag: &Tag, mistakes: &mut Vec<String>) {
    check_needs(route, &scope.state, mistakes);
    check_payload(route, tag, mistakes);
    check_rules(route, mistakes);
    check_query(route, mistakes);
    if let Kind::Message(name) = route.kind() {
        check_type(name, route, mistakes);
    }
}

/// Adds a handler, unless another one handles the same.
fn insert(
    route: &Route,
    scope: &Scope,
    prefix: &str,
    compiled: &mut CompiledRouter,
    known: &mut Known,
    mistakes: &mut Vec<String>,
) {
    let endpoint = endpoint(route, scope);
    match route.kind() {
        Kind::Connect => compiled.connect.push(endpoint),
        Kind::Disconnect(ended) => {
            if *ended == Ended::Any {
                compiled.refused.push(self::endpoint(route, scope));
            }
            compiled.disconnect.push(endpoint);
        }
        Kind::Fallback => match known.fallbacks.entry(prefix.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(route.title());
                compiled.add_fallback(prefix, endpoint);
            }
            Entry::Occupied(first) => {
                mistakes.push(two_fallbacks(prefix, first.get(), &route.title()));
            }
        },
        Kind::Message(name) => match known.messages.entry(name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(route.title());
                compiled.add_message(name, endpoint);
            }
            Entry::Occupied(first) => mistakes.push(format!(
                "message type \"{name}\" is handled by both {} and {}",
                first.get(),
                route.title()
            )),
        },
    }
}

fn two_fallbacks(prefix: &str, first: &str, second: &str) -> String {
    match prefix {
        "" => format!("{first} and {second} are both fallback handlers, a router has one"),
        _ => format!(
            "{first} and {second} are both fallback handlers of the prefix \"{prefix}\", which has one"
        ),
    }
}

pub(crate) fn check_state(state: &StateMap, owner: &str, mistakes: &mut Vec<String>) {
    for name in state.repeated() {
        mistakes.push(format!("{owner} is given two states of type `{name}`"));
    }
}

fn check_type(name: &str, route: &Route, mistakes: &mut Vec<String>) {
    let title = route.title();
    if is_reserved(name) {
        mistakes.push(format!("handler {title} serves the reserved message type \"{name}\""));
    }
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        mistakes.push(format!(
            "handler {title} serves {name:?}, but a message type has at least one character, \
             no white space and no control character"
        ));
    }
}

fn check_needs(route: &Route, state: &StateMap, mistakes: &mut Vec<String>) {
    let title = route.title();
    let in_message = matches!(route.kind(), Kind::Message(_) | Kind::Fallback);
    let mut locals: Vec<TypeId> = Vec::new();
    for need in route.needs().iter() {
        match need {
            Need::State { name, key } if !state.has(*key) => mistakes.push(format!(
                "handler {title} needs `State<{name}>`, which neither its router nor the server has"
            )),
            Need::Message { name } if !in_message => mistakes
                .push(format!("handler {title} takes `{name}`, which only message handlers have")),
            Need::End { name } if !matches!(route.kind(), Kind::Disconnect(_)) => mistakes.push(format!(
                "handler {title} takes `{name}`, which only disconnect handlers have"
            )),
            Need::Head { name } if frames(route) != Frames::None => mistakes.push(format!(
                "handler {title} takes frames as they are, as `Text`, `Bytes` or `Frame`, so it gets no \
                 message to take `{name}` from: leave one of them out"
            )),
            Need::Kept { by: Kept::Local, name, key } => {
                if locals.contains(key) {
                    mistakes.push(format!("handler {title} takes `Local<{name}>` twice"));
                }
                locals.push(*key);
            }
            Need::Payload { name, .. } if !matches!(route.kind(), Kind::Message(_)) => mistakes
                .push(format!(
                    "handler {title} receives `{name}`, which only the handler of a message type can"
                )),
            Need::Payload { name, declared: Some(declared) } => {
                check_declared(name, declared, route, mistakes);
            }
            _ => {}
        }
    }
}

/// Refuses messages that would never get what they read.
fn check_payload(route: &Route, tag: &Tag, mistakes: &mut Vec<String>) {
    let title = route.title();
    for (name, mismatch) in route.needs().mismatches(&tag.head_keys()) {
        mistakes.push(match mismatch {
            Mismatch::Field(key) => format!(
                "handler {title} receives `{name}`, but `{name}` has a field `{key}`, which \
                 belongs to the head of every message: rename it with serde or move it into a \
                 field that holds an object"
            ),
            Mismatch::NotAnObject => format!(
                "handler {title} receives `{name}`, but what `{name}` wraps is no JSON object: give \
                 it a field with a name"
            ),
        });
    }
}

/// Refuses rules that nothing would check.
fn check_rules(route: &Route, mistakes: &mut Vec<String>) {
    for (name, field) in route.needs().unchecked() {
        mistakes.push(format!(
            "handler {} receives `{name}`, but the rules of its field `{field}` are not checked: add \
             `#[validate(nested)]`, or `#[validate(skip)]` if that is intended",
            route.title()
        ));
    }
}

/// Refuses what would turn every client away.
fn check_query(route: &Route, mistakes: &mut Vec<String>) {
    for name in route.needs().impossible_queries() {
        mistakes.push(format!(
            "handler {} takes `Query<{name}>`, which no query fits: take a struct, a map or a list of \
             pairs",
            route.title()
        ));
    }
}

fn check_declared(name: &str, declared: &str, route: &Route, mistakes: &mut Vec<String>) {
    if let Kind::Message(literal) = route.kind()
        && literal != declared
    {
        mistakes.push(format!(
            "handler {} is registered for \"{literal}\", but its message `{name}` declares \
             \"{declared}\"",
            route.title()
        ));
    }
}

fn endpoint(route: &Route, scope: &Scope) -> CompiledHandler {
    let in_message = matches!(route.kind(), Kind::Message(_) | Kind::Fallback);
    let hooks: Vec<MiddlewareFn> = match in_message {
        true => scope.layers.iter().filter_map(|layer| layer.message.clone()).collect(),
        false => Vec::new(),
    };
    CompiledHandler {
        title: route.title(),
        state: Arc::clone(&scope.state),
        decodes: route.needs().iter().any(|need| matches!(need, Need::Payload { .. })),
        is_layered: !hooks.is_empty(),
        is_group: false,
        run: wrap(&hooks, Arc::clone(route.run())),
        errors: scope.errors.clone(),
        frames: frames(route),
    }
}

fn frames(route: &Route) -> Frames {
    let has = |need| *route.kind() == Kind::Fallback && route.needs().has(need);
    match (has(&Need::AnyFrame), has(&Need::AnyText)) {
        (true, _) => Frames::All,
        (false, true) => Frames::Text,
        (false, false) => Frames::None,
    }
}
