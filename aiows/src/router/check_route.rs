//! Checks one route at the build: its arguments, its message and its message type.

use std::any::TypeId;

use super::compiled::Frames;
use crate::codec::{Mismatch, Tag, is_reserved};
use crate::error::Mistakes;
use crate::extract::{Kept, Need};
use crate::handler::{Kind, Route};
use crate::state::StateMap;

/// Checks the arguments of a handler and the message type it handles.
pub(super) fn check(route: &Route, state: &StateMap, tag: &Tag, mistakes: &mut Mistakes) {
    check_needs(route, state, mistakes);
    check_payload(route, tag, mistakes);
    check_rules(route, mistakes);
    check_query(route, mistakes);
    if let Kind::Message(name) = route.kind() {
        check_type(name, route, mistakes);
    }
}

fn check_type(name: &str, route: &Route, mistakes: &mut Mistakes) {
    let title = route.title();
    if is_reserved(name) {
        mistakes.add(format!(
            "handler {title} handles the reserved message type \"{name}\": choose another"
        ));
    }
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        mistakes.add(format!(
            "handler {title} handles {name:?}, but a message type must have at least one \
             character, and no white space or control character"
        ));
    }
}

fn check_needs(route: &Route, state: &StateMap, mistakes: &mut Mistakes) {
    let title = route.title();
    let in_message = matches!(route.kind(), Kind::Message(_) | Kind::Fallback);
    let mut locals: Vec<TypeId> = Vec::new();
    for need in route.needs().iter() {
        match need {
            Need::State { name, key } if !state.has(*key) => mistakes.add(format!(
                "handler {title} needs `State<{name}>`, which neither its router nor the server \
                 has: add it with `Server::state` or `Router::state`"
            )),
            Need::Message { name } if !in_message => mistakes
                .add(format!("handler {title} takes `{name}`, which only message handlers have")),
            Need::End { name } if !matches!(route.kind(), Kind::Disconnect(_)) => mistakes
                .add(format!("handler {title} takes `{name}`, which only disconnect handlers have")),
            Need::Head { name } if Frames::of(route) != Frames::None => mistakes.add(format!(
                "handler {title} takes raw frames as `Text`, `Bytes` or `Frame`, so there is no \
                 message to take `{name}` from: remove one of these arguments"
            )),
            Need::Kept { by: Kept::Local, name, key } => {
                if locals.contains(key) {
                    mistakes.add(format!("handler {title} takes `Local<{name}>` twice"));
                }
                locals.push(*key);
            }
            Need::Payload { name, .. } if !matches!(route.kind(), Kind::Message(_)) => mistakes
                .add(format!(
                    "handler {title} receives `{name}`, which only the handler of a message type can"
                )),
            Need::Payload { name, declared: Some(declared) } => {
                check_declared(name, declared, route, mistakes);
            }
            _ => {}
        }
    }
}

/// Reports messages with fields that cannot be received.
fn check_payload(route: &Route, tag: &Tag, mistakes: &mut Mistakes) {
    let title = route.title();
    for (name, mismatch) in route.needs().mismatches(&tag.head_keys()) {
        mistakes.add(match mismatch {
            Mismatch::Field(key) => format!(
                "handler {title} receives `{name}`, but `{name}` has a field `{key}`, which \
                 belongs to the head of every message: rename it with serde or move it into a \
                 field that holds an object"
            ),
            Mismatch::NotAnObject => format!(
                "handler {title} receives `{name}`, but `{name}` wraps a value that is not a JSON \
                 object: give it a named field"
            ),
        });
    }
}

/// Reports validation rules that would never run.
fn check_rules(route: &Route, mistakes: &mut Mistakes) {
    for (name, field) in route.needs().unchecked() {
        mistakes.add(format!(
            "handler {} receives `{name}`, but the rules of its field `{field}` are not checked: \
             add `#[validate(nested)]`, or `#[validate(skip)]` if that is intended",
            route.title()
        ));
    }
}

/// Reports query types that would make every request fail.
fn check_query(route: &Route, mistakes: &mut Mistakes) {
    for name in route.needs().impossible_queries() {
        mistakes.add(format!(
            "handler {} takes `Query<{name}>`, which no query fits: take a struct, a map or a list \
             of pairs",
            route.title()
        ));
    }
}

fn check_declared(name: &str, declared: &str, route: &Route, mistakes: &mut Mistakes) {
    if let Kind::Message(literal) = route.kind()
        && literal != declared
    {
        mistakes.add(format!(
            "handler {} is registered for \"{literal}\", but its message `{name}` declares \
             \"{declared}\"",
            route.title()
        ));
    }
}
