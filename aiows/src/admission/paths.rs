//! The paths of a server, checked when it is built.

use std::collections::HashMap;
use std::sync::Arc;

use matchit::InsertError;

use super::pattern::{Pattern, Unreachable};
use crate::router::CompiledRouter;

/// Collects the routers by their paths; `root` serves every other path.
pub(crate) fn table(
    paths: Vec<(String, CompiledRouter)>,
    root: Option<&CompiledRouter>,
    mistakes: &mut Vec<String>,
) -> matchit::Router<Arc<CompiledRouter>> {
    let mut table = matchit::Router::new();
    // As they were routed, by what they are matched with.
    let mut known = HashMap::new();
    for (path, router) in paths {
        if !path.starts_with('/') {
            mistakes.push(format!("path `{path}` does not start with `/`"));
        }
        match Pattern::parse(&path) {
            Ok(Pattern { canonical, params }) => {
                check_params(&params, &router, mistakes);
                check_counts(&path, params.len(), &router, mistakes);
                if !path.starts_with('/') {
                    continue;
                }
                match table.insert(canonical.as_str(), Arc::new(router)) {
                    Ok(()) => drop(known.insert(canonical, path)),
                    Err(error) => mistakes.push(path_mistake(&path, &known, &error)),
                }
            }
            Err(why) => mistakes.push(unreachable_mistake(&path, &why)),
        }
    }
    if let Some(root) = root {
        check_params(&[], root, mistakes);
    }
    table
}

/// Refuses what is taken from parameters that a path does not have.
fn check_params(params: &[String], router: &CompiledRouter, mistakes: &mut Vec<String>) {
    if let Some(title) = router.request_needs.path()
        && params.is_empty()
    {
        mistakes.push(format!(
            "handler {title} takes `Path`, but its router is bound to no path with a parameter"
        ));
    }
    if let Some(room) = &router.room
        && !params.contains(room)
    {
        mistakes.push(format!(
            "a router joins the room `{{{room}}}` of its path, but is bound to no path with that parameter"
        ));
    }
}

/// Refuses what no request of this path would fit. Without any parameter that is told already.
fn check_counts(path: &str, params: usize, router: &CompiledRouter, mistakes: &mut Vec<String>) {
    if params == 0 {
        return;
    }
    for (title, name, taken) in router.request_needs.misfits(params) {
        let plural = if taken == 1 { "" } else { "s" };
        mistakes.push(format!(
            "handler {title} takes `Path<{name}>`, which is {taken} parameter{plural}, but the path \
             `{path}` has {params}"
        ));
    }
}

fn unreachable_mistake(path: &str, why: &Unreachable) -> String {
    let shown = path.escape_debug();
    match why {
        Unreachable::Param(name) => {
            format!("path `{shown}` has two parameters `{name}`, give one of them another name")
        }
        Unreachable::End(letter) => {
            format!("no request has the path `{shown}`: a path ends before `{letter}`")
        }
        Unreachable::Letter(letter) => format!(
            "no request has the path `{shown}`: write `{}` as `%{:02X}`",
            letter.escape_debug(),
            u32::from(*letter)
        ),
    }
}

fn path_mistake(path: &str, known: &HashMap<String, String>, error: &InsertError) -> String {
    match error {
        InsertError::Conflict { with } => match known.get(with).unwrap_or(with) {
            with if with == path => format!("path `{path}` is routed twice"),
            with => format!("paths `{path}` and `{with}` match the same requests"),
        },
        _ => format!("path `{path}` is not valid: {error}"),
    }
}
