//! The namespace that routers give to their connections.

use super::Router;
use crate::error::Mistakes;
use crate::hub::ROOT;

/// The name for the connections of some routers, which all serve each of them: what one of `outermost`
/// says. `None` if they say nothing, or something wrong.
pub(crate) fn namespace<'a>(outermost: &'a [Router], mistakes: &mut Mistakes) -> Option<&'a str> {
    let names = distinct(outermost.iter().flat_map(|router| &router.namespaces));
    for name in distinct(outermost.iter().flat_map(|router| &router.included).flat_map(said)) {
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
                mistakes.add(format!("a router says namespace `{name}`, but {flaw}"));
                None
            }
        },
        [first, second, ..] => {
            mistakes.add(format!(
                "one connection is in one namespace, but its routers say `{}` and `{}`",
                first.escape_debug(),
                second.escape_debug()
            ));
            None
        }
    }
}

/// A router says another namespace than the one that includes it.
fn inner_mistake(name: &str, outer: Option<&str>) -> String {
    let name = name.escape_debug();
    match outer {
        None => format!(
            "a router says namespace `{name}`, but the router that includes it does not, and a \
             connection is in one: say it there"
        ),
        Some(outer) => format!(
            "a router says namespace `{name}`, but the router that includes it says `{}`, and a \
             connection is in one: say none in the inner router, or bind it to a path of its own",
            outer.escape_debug()
        ),
    }
}

/// What a router and those it includes say.
fn said(router: &Router) -> Vec<&String> {
    router.namespaces.iter().chain(router.included.iter().flat_map(said)).collect()
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

/// Why a namespace cannot have a name. Names that the server gives are refused, so that no router is put
/// together with another one by chance.
fn flaw(name: &str) -> Option<&'static str> {
    let is_unfit = |c: char| c.is_whitespace() || c.is_control();
    match name {
        "" => Some("a name has at least one character"),
        ROOT => Some("that is the one of `Server::include_router`: choose another name"),
        _ if name.starts_with('/') => Some(
            "names that begin with `/` are those of routes that say none: choose another name, and \
             say it on every router that belongs there",
        ),
        _ if name.contains(is_unfit) => Some("a name has no white space and no control character"),
        _ => None,
    }
}
