//! Holds the floors of ARCHITECTURE.md: a module imports only modules that `lib.rs` lists before it,
//! and no two files of one folder import each other.

#![expect(clippy::unwrap_used, reason = "a test that reads its own sources")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module or of an item, from the root of the crate.
type Names = Vec<String>;

/// One source file, without its unit tests.
struct Source {
    module: Names,
    /// Whether it is the front of a folder (`mod.rs`, `lib.rs`).
    is_front: bool,
    code: String,
}

impl Source {
    fn new(path: &Path, text: &str) -> Self {
        let mut module: Names =
            path.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs").into()).collect();
        let is_front = matches!(module.last().unwrap().as_str(), "mod" | "lib");
        if is_front {
            module.pop();
        }
        Self { module, is_front, code: without_tests(text) }
    }

    /// The paths that the file imports or names, from the root of the crate.
    fn imports(&self) -> Vec<Names> {
        let mut found = Vec::new();
        let mut rest = self.code.as_str();
        while let Some(at) = next_path(rest) {
            let (tree, after) = split_path(&rest[at..]);
            flatten(&tree, &mut Vec::new(), &mut found);
            rest = after;
        }
        found.into_iter().filter_map(|path| self.resolve(&path)).collect()
    }

    fn resolve(&self, path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Names::new(),
            "self" => self.module.clone(),
            _ => self.module[..self.module.len().checked_sub(1)?].to_vec(),
        };
        for name in rest {
            match name.as_str() {
                "super" => drop(base.pop()),
                "self" => {}
                name => base.push(name.to_owned()),
            }
        }
        Some(base)
    }
}

/// Cuts comments, `#[cfg(test)]` items of one line and the unit tests at the end.
fn without_tests(text: &str) -> String {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let end = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
    let mut lines = code[..end].lines();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        match line.trim() {
            "#[cfg(test)]" => drop(lines.next()),
            _ => kept.extend([line, "\n"]),
        }
    }
    kept
}

/// Finds the next path that begins with `crate::`, `super::` or `self::`.
fn next_path(code: &str) -> Option<usize> {
    let starts = ["crate::", "super::", "self::"];
    let is_start =
        |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
    let all = starts.iter().flat_map(|start| code.match_indices(start));
    all.map(|(at, _)| at).filter(|at| is_start(*at)).min()
}

/// Takes one path with its braces, without white space, and returns what follows.
fn split_path(code: &str) -> (String, &str) {
    let mut depth = 0;
    let mut end = code.len();
    for (at, char) in code.char_indices() {
        let follows_colons = code[..at].ends_with("::");
        match char {
            '{' if depth > 0 || follows_colons => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ if depth > 0 || char.is_alphanumeric() || char == '_' || char == ':' => {}
            _ => {
                end = at;
                break;
            }
        }
        if depth == 0 && char == '}' {
            end = at + 1;
            break;
        }
    }
    let tree = code[..end].replace(" as ", "@").replace(char::is_whitespace, "");
    (tree, &code[end..])
}

/// Makes `a::{b, c::d}` the paths `a::b` and `a::c::d`.
fn flatten(tree: &str, prefix: &mut Names, found: &mut Vec<Names>) {
    let (names, group) = match tree.split_once('{') {
        Some((names, group)) => (names, group.strip_suffix('}')),
        None => (tree, None),
    };
    let depth = prefix.len();
    let names = names.split("::").filter(|name| !name.is_empty());
    prefix.extend(names.map(|name| name.split('@').next().unwrap().to_owned()));
    match group {
        None => found.push(prefix.clone()),
        Some(group) => parts(group).into_iter().for_each(|part| flatten(part, prefix, found)),
    }
    prefix.truncate(depth);
}

/// Splits at the commas outside of braces.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

/// Returns the imports among the modules directly in `folder`, each with one file as the evidence.
fn imports_within(sources: &[Source], folder: &[String]) -> BTreeMap<(String, String), String> {
    let inside =
        |path: &[String]| path.starts_with(folder).then(|| path.get(folder.len()).cloned())?;
    let children: BTreeSet<_> =
        sources.iter().filter_map(|source| inside(&source.module)).collect();
    // An item that the front of the folder re-exports belongs to the file that it comes from.
    let front = sources.iter().find(|source| source.is_front && source.module == folder);
    let exported: BTreeMap<String, String> = front
        .iter()
        .flat_map(|front| front.imports())
        .filter_map(|path| Some((path.last()?.clone(), inside(&path)?)))
        .filter(|(_, child)| children.contains(child))
        .collect();
    let mut edges = BTreeMap::new();
    for source in sources {
        let Some(from) = inside(&source.module) else { continue };
        for to in source.imports().iter().filter_map(|path| inside(path)) {
            let to = if children.contains(&to) { Some(&to) } else { exported.get(&to) };
            if let Some(to) = to.filter(|to| **to != from) {
                edges.entry((from.clone(), to.clone())).or_insert_with(|| source.module.join("::"));
            }
        }
    }
    edges
}

/// The imports that lead back to where they come from.
fn circles(edges: &BTreeMap<(String, String), String>) -> Vec<String> {
    let reaches = |start: &str, goal: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(node) = open.pop() {
            if node == goal {
                return true;
            }
            let next = edges.keys().filter(|(from, _)| from == node).map(|(_, to)| to.as_str());
            open.extend(next.filter(|to| seen.insert(*to)));
        }
        false
    };
    let in_circle = edges.iter().filter(|((from, to), _)| reaches(to, from));
    in_circle
        .map(|((from, to), file)| format!("`{from}` imports `{to}` in a circle ({file})"))
        .collect()
}

/// The modules of `lib.rs` in their order.
fn floors(lib: &str) -> Vec<String> {
    let lines = lib.lines().map(|line| line.trim_start_matches("pub ").trim_end_matches(';'));
    lines.filter_map(|line| line.strip_prefix("mod ")).map(str::to_owned).collect()
}

/// The imports that do not lead to a lower floor.
fn upward(edges: &BTreeMap<(String, String), String>, floors: &[String]) -> Vec<String> {
    let floor = |module: &String| floors.iter().position(|name| name == module);
    let wrong = edges.iter().filter(|((from, to), _)| match (floor(from), floor(to)) {
        (Some(from), Some(to)) => to > from,
        _ => true,
    });
    wrong.map(|((from, to), file)| format!("`{from}` imports `{to}` ({file})")).collect()
}

fn read(folder: &Path, root: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let is_test = matches!(path.file_stem().and_then(|stem| stem.to_str()), Some("tests"));
        if is_test {
            continue;
        }
        if path.is_dir() {
            read(&path, root, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source::new(path.strip_prefix(root).unwrap(), &text));
        }
    }
}

fn own_sources() -> (Vec<Source>, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    assert!(sources.len() > 100, "only {} sources were found", sources.len());
    let floors = floors(&fs::read_to_string(root.join("lib.rs")).unwrap());
    assert!(floors.len() > 15, "only {floors:?} were found in lib.rs");
    (sources, floors)
}

#[test]
fn a_module_imports_only_lower_floors() {
    let (sources, floors) = own_sources();
    assert_eq!(upward(&imports_within(&sources, &[]), &floors), [""; 0]);
}

#[test]
fn no_files_of_a_folder_import_each_other() {
    let (sources, _) = own_sources();
    let folders: Vec<_> =
        sources.iter().filter(|s| s.is_front && !s.module.is_empty()).map(|s| &s.module).collect();
    assert!(folders.len() > 15, "only {folders:?} were found");
    let found: Vec<_> =
        folders.iter().flat_map(|folder| circles(&imports_within(&sources, folder))).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn only_protocol_and_handshake_name_tungstenite() {
    let (sources, _) = own_sources();
    let naming: BTreeSet<_> = sources
        .iter()
        .filter(|source| source.code.contains("tungstenite::"))
        .map(|source| source.module[0].as_str())
        .collect();
    assert_eq!(naming, BTreeSet::from(["handshake", "protocol"]));
}

fn source(path: &str, text: &str) -> Source {
    Source::new(Path::new(path), text)
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let floors = ["error", "codec", "session"].map(str::to_owned);
    let check = |text: &str| {
        let sources = [
            source("lib.rs", "mod error; pub use self::session::Session;"),
            source("error/mod.rs", ""),
            source("session.rs", ""),
            source("codec/mod.rs", ""),
            source("codec/head.rs", text),
        ];
        upward(&imports_within(&sources, &[]), &floors)
    };
    let wrong = ["`codec` imports `session` (codec::head)"];
    assert_eq!(check("use crate::session::Session;"), wrong);
    assert_eq!(check("use crate::{\n    error::Error, session::{Session, b}\n};"), wrong);
    assert_eq!(check("fn f() { crate::session::run() }"), wrong);
    assert_eq!(check("use super::super::session::run;"), wrong);
    assert_eq!(check("use crate::Session;"), wrong);
    assert_eq!(check("#[cfg(test)]\nuse crate::error;\nuse crate::session::Session;"), wrong);
    assert_eq!(check("use crate::error::Error;\nuse super::key;\n// crate::session\n"), [""; 0]);
    assert_eq!(check("#[cfg(test)]\nmod tests {\n    use crate::session;\n}"), [""; 0]);
    let unknown = [source("utils.rs", "use crate::error::Error;"), source("error.rs", "")];
    assert_eq!(
        upward(&imports_within(&unknown, &[]), &floors),
        ["`utils` imports `error` (utils)"]
    );
}

#[test]
fn a_circle_inside_of_a_folder_is_found() {
    let check = |head: &str, key: &str| {
        let sources = [
            source(
                "codec/mod.rs",
                "pub use self::key::Key;\npub use self::head::{Head, self as h};",
            ),
            source("codec/head.rs", head),
            source("codec/key.rs", key),
        ];
        circles(&imports_within(&sources, &["codec".to_owned()]))
    };
    let circle = [
        "`head` imports `key` in a circle (codec::head)",
        "`key` imports `head` in a circle (codec::key)",
    ];
    assert_eq!(check("use super::key::Key;", "use super::head::Head;"), circle);
    assert_eq!(check("use super::Key;", "use crate::codec::{Head};"), circle);
    assert_eq!(check("use super::Key;", "use super::Other;"), [""; 0]);
}
