//! Holds the floors of ARCHITECTURE.md: a module imports from lower floors, and within its floor
//! from modules to its left.

#![expect(clippy::unwrap_used, reason = "a test that reads its own sources")]

use std::fs;
use std::path::{Path, PathBuf};

/// Floor by floor, left to right.
const FLOORS: &[&[&str]] = &[
    &["close", "id", "error", "overflow", "limits"],
    &["codec", "message", "transport"],
    &["state", "outbox", "websocket"],
    &["hub", "call", "extract", "outcome"],
    &["route", "middleware"],
    &["router"],
    &["session"],
    &["server"],
    &["settings", "testing", "__private", "guide", "lib"],
];

fn place(module: &str) -> Option<(usize, usize)> {
    FLOORS.iter().enumerate().find_map(|(floor, modules)| {
        modules.iter().position(|name| *name == module).map(|column| (floor, column))
    })
}

/// The modules a source names through `crate::`, outside of `cfg(test)`.
fn imports(source: &str) -> Vec<(usize, String)> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|(number, line)| {
            line.split("crate::").skip(1).map(move |rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                (number + 1, rest[..end.unwrap_or(rest.len())].to_owned())
            })
        })
        .filter(|(_, module)| !module.is_empty())
        .collect()
}

/// What is wrong with the imports of one file of `module`.
fn faults(module: &str, file: &Path, source: &str) -> Vec<String> {
    let Some(own) = place(module) else {
        return vec![format!("{}: module `{module}` has no floor", file.display())];
    };
    let wrong = imports(source)
        .into_iter()
        .filter(|(_, other)| other != module && place(other).is_none_or(|other| other > own));
    wrong
        .map(|(line, other)| format!("{}:{line}: `{module}` imports `{other}`", file.display()))
        .collect()
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn no_module_imports_upwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "only {} sources were found", files.len());
    let faults: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let inner = file.strip_prefix(&root).unwrap();
            let module = inner.components().next().unwrap().as_os_str().to_str().unwrap();
            faults(module.trim_end_matches(".rs"), inner, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn only_transport_names_tungstenite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let naming: Vec<_> = files
        .iter()
        .filter(|file| !file.starts_with(root.join("transport")))
        .filter(|file| fs::read_to_string(file).unwrap().contains("tungstenite::"))
        .collect();
    assert_eq!(naming, Vec::<&PathBuf>::new());
}

#[test]
fn an_upward_import_is_found() {
    let check = |module, source| faults(module, Path::new("x.rs"), source);
    assert_eq!(
        check("codec", "use std::fmt;\nuse crate::session::Session;\n"),
        ["x.rs:2: `codec` imports `session`"]
    );
    assert_eq!(
        check("outbox", "fn f() { crate::websocket::g() }"),
        ["x.rs:1: `outbox` imports `websocket`"]
    );
    assert_eq!(check("utils", ""), ["x.rs: module `utils` has no floor"]);
    assert_eq!(
        check("router", "use crate::route::Route;\n#[cfg(test)]\nuse crate::server;"),
        [""; 0]
    );
}
