//! The paths of a server, checked when it is built.

use std::sync::Arc;

use matchit::InsertError;

use crate::router::Frozen;

/// Collects the routers by their paths; `root` serves every other path.
pub(super) fn table(
    paths: Vec<(String, Frozen)>,
    root: Option<&Frozen>,
    mistakes: &mut Vec<String>,
) -> matchit::Router<Arc<Frozen>> {
    let mut table = matchit::Router::new();
    for (path, router) in paths {
        check_path(&path, &router, mistakes);
        check_room(&path, &router, mistakes);
        if !path.starts_with('/') {
            mistakes.push(format!("path `{path}` does not start with `/`"));
        } else if let Err(error) = table.insert(path.as_str(), Arc::new(router)) {
            mistakes.push(path_mistake(&path, &error));
        }
    }
    if let Some(root) = root {
        check_path("", root, mistakes);
        check_room("", root, mistakes);
    }
    table
}

fn check_path(path: &str, router: &Frozen, mistakes: &mut Vec<String>) {
    if let Some(title) = router.asked.path()
        && !path.contains('{')
    {
        mistakes.push(format!(
            "handler {title} takes `Path`, but its router is bound to no path with a parameter"
        ));
    }
}

fn check_room(path: &str, router: &Frozen, mistakes: &mut Vec<String>) {
    if let Some(room) = &router.room
        && !path.contains(&format!("{{{room}}}"))
        && !path.contains(&format!("{{*{room}}}"))
    {
        mistakes.push(format!(
            "a router joins the room `{{{room}}}` of its path, but is bound to no path with that parameter"
        ));
    }
}

fn path_mistake(path: &str, error: &InsertError) -> String {
    match error {
        InsertError::Conflict { with } if with == path => {
            format!("path `{path}` is routed twice")
        }
        InsertError::Conflict { with } => {
            format!("paths `{path}` and `{with}` match the same requests")
        }
        _ => format!("path `{path}` is not valid: {error}"),
    }
}
