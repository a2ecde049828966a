//! The choice of a namespace for the connections of some routers.

use super::Router;
use crate::error::Mistakes;
use crate::hub::ROOT;

/// Returns the namespace that one of the `outermost` routers sets, all of which handle the same
/// connections. Returns `None` if they set none, or after reporting a mistake.
pub(crate) fn namespace<'a>(outermost: &'a [Router], mistakes: &mut Mistakes) -> Option<&'a str> {
    let names = distinct(outermost.iter().flat_map(|router| &router.namespaces));
    for name in
        distinct(outermost.iter().flat_map(|router| &router.included).flat_map(namespaces_of))
    {
        if !names.contains(&name) {
            mistakes.add(inner_mistake(name, names.first().copied()));
        }
    }
    match names[..] {
        [] => None,
        [name] => match flaw(name) {
            None => Some(name),
            Some(flaw) => {
                let name = name.escape_debug();
                mistakes.add(format!("a router sets the namespace `{name}`, but {flaw}"));
                None
            }
        },
        [first, second, ..] => {
            mistakes.add(format!(
                "one connection is in one namespace, but its routers set `{}` and `{}`: \
                 set one of them",
                first.escape_debug(),
                second.escape_debug()
            ));
            None
        }
    }
}

/// Describes the mistake that a router sets another namespace than the router that includes it.
fn inner_mistake(name: &str, outer: Option<&str>) -> String {
    let name = name.escape_debug();
    match outer {
        None => format!(
            "a router sets the namespace `{name}`, but the router that includes it sets none: \
             set it there, since a connection is in one namespace"
        ),
        Some(outer) => format!(
            "a router sets the namespace `{name}`, but the router that includes it sets `{}`, and \
             a connection is in one: remove it from the inner router, or bind that router to a path \
             of its own",
            outer.escape_debug()
        ),
    }
}

/// Returns the namespaces that a router and its included routers set.
fn namespaces_of(router: &Router) -> Vec<&String> {
    router.namespaces.iter().chain(router.included.iter().flat_map(namespaces_of)).collect()
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name.as_str()) {
            distinct.push(name);
        }
    }
    distinct
}

/// Returns why a name is not allowed for a namespace. The names that the server itself gives are
/// excluded, so that no router joins another one's namespace by accident.
fn flaw(name: &str) -> Option<&'static str> {
    let is_unfit = |c: char| c.is_whitespace() || c.is_control();
    match name {
        "" => Some("a name must have at least one character"),
        ROOT => Some("that is the namespace of `Server::include_router`: choose another name"),
        _ if name.starts_with('/') => Some(
            "names that begin with `/` belong to routes without a name: choose another name, and \
             set it on every router of the namespace",
        ),
        _ if name.contains(is_unfit) => {
            Some("a name must not have white space or control characters")
        }
        _ => None,
    }
}
