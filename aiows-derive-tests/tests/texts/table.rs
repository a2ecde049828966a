//! The chapter of the guide that lists the compile errors.

use std::{env, fmt::Write as _, fs, path::Path};

use super::case::Case;

const INTRODUCTION: &str = "\
# Compile errors

The macros check your handlers and messages during compilation. As a rule, one mistake causes one
error, which points to the token that you have to change. If several handlers have mistakes, you see
the errors of all of them at once.

This page lists the errors for the most likely mistakes: the mistake, the line that the error points
to, and the text of the error. If you do not understand an error, search for its text and compare
the line with yours. Some errors have notes below them, which explain what you can write instead.

If the compiler accepts a program that still has a mistake, such as missing state, `Server::build`
returns an error.
";

/// A section of the chapter.
struct Section {
    /// The folder in `tests/ui/fail`.
    kind: &'static str,
    title: &'static str,
    introduction: &'static str,
}

const SECTIONS: [Section; 8] = [
    Section {
        kind: "attribute",
        title: "The attribute of a handler",
        introduction: "\
`#[message]` takes the message type. `#[connect]`, `#[disconnect]` and `#[fallback]` take none. If
you rename the crate, all of them accept its path, like `crate = ws`.",
    },
    Section {
        kind: "signature",
        title: "The signature of a handler",
        introduction: "\
A handler is a free `async fn` that takes its arguments by value. The macros do not read its body,
so if there is a mistake in the body, you get the error of rustc.",
    },
    Section {
        kind: "types",
        title: "Arguments and return types",
        introduction: "\
Every argument is an extractor. Only the last argument of a `#[message]` handler may be a message
instead. If an error names one of your types, a derive or a bound is missing there, or the argument
is in the wrong place.",
    },
    Section {
        kind: "routes",
        title: "`routes![]`",
        introduction: "\
You list handlers by their names. If you forget one, rustc warns that the function is never used. If
two handlers serve the same message type, the list that contains both does not compile.",
    },
    Section {
        kind: "router",
        title: "`#[router]`",
        introduction: "\
The attribute adds a function `router` to an inline module, with all handlers of the module in its
list. If you never call the function, rustc warns about it.",
    },
    Section {
        kind: "derive",
        title: "`#[derive(Message)]`",
        introduction: "\
The derive checks the options in `#[aiows(..)]` and the names of the fields on the wire. A field
must not be called `type`, `id` or `correlation_id` there, because these keys belong to the
envelope.",
    },
    Section {
        kind: "set",
        title: "Enums of messages",
        introduction: "\
If you derive `Message` for an enum, each variant holds one message. You can send such an enum, but
a handler cannot receive it.",
    },
    Section {
        kind: "incomplete",
        title: "Incomplete code",
        introduction: "\
If a handler does not parse, the macros leave the error to rustc and keep your function as it is, so
that the other handlers and your editor are not affected.",
    },
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
        "the guide's chapter on compile errors is stale, update it:\n\
         UPDATE=1 cargo test -p aiows-derive-tests --test texts"
    );
}

fn page(cases: &[Case]) -> String {
    let sections = SECTIONS.map(|section| section.kind);
    for Case { name, .. } in cases {
        let (kind, _) = name.split_once('/').unwrap();
        assert!(sections.contains(&kind), "{name} belongs to no section of the chapter");
    }
    let mut page = INTRODUCTION.to_owned();
    for Section { kind, title, introduction } in SECTIONS {
        let head = "| Mistake | Line | Error |\n|---|---|---|";
        writeln!(page, "\n## {title}\n\n{introduction}\n\n{head}").unwrap();
        page.extend(cases.iter().filter(|case| case.kind() == kind).map(row));
    }
    page
}

fn row(case: &Case) -> String {
    let (code, _, label) = case.primary();
    let mut error = case.error().replace("$CRATE::", "app::");
    if case.text.starts_with("error[E0277]") && !label.is_empty() {
        error = format!("{error}: {label}");
    }
    let code = code.trim().replace('|', "\\|");
    let mistake = case.name.split('/').next_back().unwrap().replace('_', " ");
    format!("| {mistake} | `{code}` | {} |\n", error.replace('|', "\\|"))
}
