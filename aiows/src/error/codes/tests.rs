use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::{Closing, HttpRefusal, closing, code, http_refusal, mistake};

const START: &str = "<!-- The tables of aiows/src/error/codes.rs, written with BLESS=1. -->\n";
const END: &str = "\n<!-- End of the tables. -->\n";

fn tables() -> String {
    let mut text = String::new();
    let codes = code::ALL.iter().map(|(code, when)| format!("`{code}` | {when}"));
    table(&mut text, "Error codes", None, "code | sent if", codes);

    let about = "After a failed validation, the code of a field is that of the rule. After a failed\n\
                 decode it is one of these:";
    let codes = mistake::ALL.iter().map(|(mistake, when)| format!("`{}` | {when}", mistake.code));
    table(&mut text, "Codes of fields", Some(about), "code | used if", codes);

    let about = "Your application may send 1000–1003, 1007–1014 and 3000–4999, with any reason. The\n\
                 framework sends these:";
    let closings = closing::ALL.iter().map(|(Closing { code, reason }, when)| {
        format!("{code} | `{}` | {when}", reason.replace("{}", "…"))
    });
    table(&mut text, "Close codes", Some(about), "code | reason | sent if", closings);

    let about = "A refused request gets a JSON body, `{\"error\": {\"code\", \"message\", ..}}`. If\n\
                 `on_handshake` or a room check refuses it, the code is that of the error, and the\n\
                 status is that of `HandlerError::status`, or 403. The framework itself sends these:";
    let refusals = http_refusal::ALL
        .iter()
        .map(|(HttpRefusal { status, code }, when)| format!("{status} | `{code}` | {when}"));
    table(&mut text, "HTTP refusals", Some(about), "status | code | sent if", refusals);
    text
}

fn table(
    text: &mut String,
    title: &str,
    about: Option<&str>,
    columns: &str,
    rows: impl Iterator<Item = String>,
) {
    writeln!(text, "\n### {title}\n").unwrap();
    if let Some(about) = about {
        writeln!(text, "{about}\n").unwrap();
    }
    let rule = "|---".repeat(columns.split(" | ").count());
    writeln!(text, "| {columns} |\n{rule}|").unwrap();
    rows.for_each(|row| writeln!(text, "| {row} |").unwrap());
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn the_guide_prints_every_code() {
    let path = source().join("docs/errors.md");
    let chapter = fs::read_to_string(&path).unwrap();
    let (before, rest) = chapter.split_once(START).unwrap();
    let (printed, after) = rest.split_once(END).unwrap();
    let tables = tables();
    if env::var_os("BLESS").is_some() {
        fs::write(path, [before, START, &tables, END, after].concat()).unwrap();
    } else {
        assert!(printed == tables, "docs/errors.md has other tables, run this test with BLESS=1");
    }
}

#[test]
fn no_code_is_declared_twice() {
    let codes: BTreeSet<_> = code::ALL.iter().map(|(code, _)| code).collect();
    assert_eq!(codes.len(), code::ALL.len());
}

/// The files of the library, without tests and the test kit.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["tests", "tests.rs", "testing", "codes.rs", "close.rs"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a file that are neither comments nor tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn every_code_comes_from_the_tables() {
    let codes = code::ALL.iter().map(|(code, _)| *code);
    let fields = mistake::ALL.iter().map(|(mistake, _)| mistake.code);
    let refused = http_refusal::ALL.iter().map(|(refusal, _)| refusal.code);
    let literals: Vec<_> =
        codes.chain(fields).chain(refused).map(|code| format!("\"{code}\"")).collect();
    let mut mistakes = Vec::new();
    for path in files(&source()) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code_lines(&text) {
            let is_literal = literals.iter().any(|literal| line.contains(literal));
            let is_new = line.contains("HandlerError::new(\"");
            let mut paths = line.split("CloseCode::").skip(1);
            let is_close = paths.any(|rest| rest.starts_with(char::is_uppercase));
            if is_literal || is_new || is_close {
                mistakes.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(mistakes.is_empty(), "add these to error/codes.rs:\n{}", mistakes.join("\n"));
}
