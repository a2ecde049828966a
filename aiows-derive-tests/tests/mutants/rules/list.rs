//! Mistakes in `routes![]`.

use super::{Rule, insert, replace};

pub(super) const RULES: &[Rule] = &[
    ("list: misspell the handler", |s| insert(s.list().start, "x")),
    ("list: an unknown module", |s| insert(s.list().start, "chat::")),
    ("list: a plain function", |s| replace(s.list(), "list")),
    ("list: a function of another crate", |s| replace(s.list(), "std::mem::drop")),
    ("list: a struct that is not a handler", |s| replace(s.list(), "std::marker::PhantomPinned")),
    ("list: a call", |s| {
        let name = s.text[s.function()].len();
        insert(s.list().start + name, "()")
    }),
    ("list: a reference", |s| insert(s.list().start, "&")),
    ("list: a string", |s| replace(s.list(), "\"chat\"")),
    ("list: a closure", |s| replace(s.list(), "|| ()")),
    ("list: an attribute", |s| insert(s.list().start, "#[inline] ")),
    ("list: no comma", |s| replace(s.list(), s.text[s.list()].replace(',', ""))),
    ("list: a semicolon", |s| replace(s.list(), s.text[s.list()].replace(',', ";"))),
    ("list: the same handler twice", |s| {
        let name = format!("{}, ", &s.text[s.function()]);
        insert(s.list().start, name)
    }),
    ("list: parameters on a name", |s| {
        let name = s.text[s.function()].len();
        insert(s.list().start + name, "::<u8>")
    }),
    ("list: a comma too many", |s| {
        let end = s.list().end;
        insert(end, ",,")
    }),
];
