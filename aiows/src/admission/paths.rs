use std::collections::HashMap;
use std::sync::Arc;

use matchit::InsertError;

use super::pattern::{Pattern, Unreachable};
use crate::error::Mistakes;
use crate::router::CompiledRouter;

/// The names and the values of a path's parameters.
pub(super) type Params<'a, 'p> = Vec<(&'a str, &'p str)>;

/// The routers of a server by their paths.
pub(crate) struct Paths {
    /// Serves every path that is not in the table.
    root: Option<Arc<CompiledRouter>>,
    table: matchit::Router<Arc<CompiledRouter>>,
}

impl Paths {
    pub(crate) fn new(
        root: Option<CompiledRouter>,
        paths: Vec<(String, CompiledRouter)>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut all = Self { root: root.map(Arc::new), table: matchit::Router::new() };
        // The paths of the routes by their canonical forms.
        let mut known = HashMap::new();
        for (path, router) in paths {
            all.add(path, router, &mut known, mistakes);
        }
        if let Some(root) = &all.root {
            check_params(&[], root, mistakes);
        }
        all
    }

    fn add(
        &mut self,
        path: String,
        router: CompiledRouter,
        known: &mut HashMap<String, String>,
        mistakes: &mut Mistakes,
    ) {
        let is_rooted = path.starts_with('/');
        if !is_rooted {
            mistakes.add(format!("path `{path}` does not start with `/`"));
        }
        let Pattern { canonical, params } = match Pattern::parse(&path) {
            Ok(pattern) => pattern,
            Err(why) => return mistakes.add(unreachable_mistake(&path, &why)),
        };
        check_params(&params, &router, mistakes);
        check_counts(&path, params.len(), &router, mistakes);
        if is_rooted {
            match self.table.insert(canonical.as_str(), Arc::new(router)) {
                Ok(()) => drop(known.insert(canonical, path)),
                Err(error) => mistakes.add(path_mistake(&path, known, &error)),
            }
        }
    }

    /// Finds the router of a path, and the parameters of the path.
    pub(super) fn find<'a, 'p>(
        &'a self,
        path: &'p str,
    ) -> Option<(&'a Arc<CompiledRouter>, Params<'a, 'p>)> {
        match self.table.at(path) {
            Ok(found) => Some((found.value, found.params.iter().collect())),
            Err(_) => self.root.as_ref().map(|root| (root, Params::new())),
        }
    }
}

/// Refuses handlers and rooms that use parameters which the path does not have.
fn check_params(params: &[String], router: &CompiledRouter, mistakes: &mut Mistakes) {
    if let Some(title) = router.request_needs.path()
        && params.is_empty()
    {
        mistakes.add(format!(
            "handler {title} takes `Path`, but its router is bound to no path with a parameter"
        ));
    }
    if let Some(room) = &router.room
        && !params.contains(room)
    {
        mistakes.add(format!(
            "a router joins the room `{{{room}}}` of its path, but is bound to no path with that parameter"
        ));
    }
}

/// Refuses a `Path` type that no request of this path fits. Without any parameter,
/// [`check_params`] has added a mistake already.
fn check_counts(path: &str, params: usize, router: &CompiledRouter, mistakes: &mut Mistakes) {
    if params == 0 {
        return;
    }
    for (title, name, taken) in router.request_needs.mismatches(params) {
        let plural = if taken == 1 { "" } else { "s" };
        mistakes.add(format!(
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
