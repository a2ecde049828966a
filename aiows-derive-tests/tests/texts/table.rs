//! The page of the guide that lists what the compiler says.

use std::{env, fmt::Write as _, fs, path::Path};

use super::case::Case;

const INTRODUCTION: &str = "\
# Mistakes

What the compiler says to the most likely mistakes. It points into the line given here.
";

/// What the folders of `tests/ui/fail` are called, in the order of the page. Others follow under
/// their own names.
const TITLES: [(&str, &str); 7] = [
    ("attribute", "The attribute of a handler"),
    ("signature", "The signature of a handler"),
    ("types", "Arguments and return types"),
    ("routes", "`routes![]`"),
    ("router", "`#[router]`"),
    ("derive", "`#[derive(Message)]`"),
    ("set", "Enums of messages"),
];

#[test]
fn the_table_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../aiows/src/docs/mistakes.md");
    let page = page(&Case::all());
    if env::var_os("UPDATE").is_some() {
        return fs::write(&path, page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|old| old.replace("\r\n", "\n") == page),
        "the guide's table of mistakes is stale, write it again:\n\
         UPDATE=1 cargo test -p aiows-derive-tests --test texts"
    );
}

fn page(cases: &[Case]) -> String {
    let mut kinds: Vec<_> = cases.iter().map(Case::kind).collect();
    kinds.dedup();
    let known = |kind: &&str| TITLES.iter().position(|(known, _)| known == kind);
    kinds.sort_by_key(|kind| known(kind).unwrap_or(TITLES.len()));
    let mut page = INTRODUCTION.to_owned();
    for kind in kinds {
        let title = known(&kind).map_or(kind, |at| TITLES[at].1);
        let head = "| mistake | in the line | said |\n|---|---|---|";
        writeln!(page, "\n## {title}\n\n{head}").unwrap();
        page.extend(cases.iter().filter(|case| case.kind() == kind).map(row));
    }
    page
}

fn row(case: &Case) -> String {
    let (code, _, label) = case.primary();
    let mut said = case.error().replace("$CRATE::", "app::");
    if case.text.starts_with("error[E0277]") && !label.is_empty() {
        said = format!("{said}: {label}");
    }
    let code = code.trim().replace('|', "\\|");
    let mistake = case.name.split('/').next_back().unwrap().replace('_', " ");
    format!("| {mistake} | `{code}` | {} |\n", said.replace('|', "\\|"))
}
