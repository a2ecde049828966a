//! Mistakes in the handler attribute.

use super::{Rule, in_handler, insert, on_message, replace};

pub(super) const RULES: &[Rule] = &[
    ("attribute: misspell its name", |s| {
        let start = s.attribute().start;
        replace(start..start + 1, "")
    }),
    ("attribute: drop the literal", |s| on_message(s, |at| replace(at.start - 1..at.end + 1, ""))),
    ("attribute: drop the content of the parentheses", |s| on_message(s, |at| replace(at, ""))),
    ("attribute: empty literal", |s| on_message(s, |at| replace(at, "\"\""))),
    ("attribute: space in the literal", |s| on_message(s, |at| insert(at.end - 1, " "))),
    ("attribute: drop the quotes", |s| on_message(s, |at| replace(at, "chat"))),
    ("attribute: a number", |s| on_message(s, |at| replace(at, "1"))),
    ("attribute: a reserved type", |s| on_message(s, |at| replace(at, "\"error\""))),
    ("attribute: two literals", |s| on_message(s, |at| insert(at.end, ", \"two\""))),
    ("attribute: no comma", |s| on_message(s, |at| insert(at.end, " crate = aiows"))),
    ("attribute: unknown option", |s| on_message(s, |at| insert(at.end, ", retry = 3"))),
    ("attribute: option without a value", |s| on_message(s, |at| insert(at.end, ", crate ="))),
    ("attribute: option without a sign", |s| on_message(s, |at| insert(at.end, ", crate"))),
    ("attribute: unknown crate", |s| on_message(s, |at| insert(at.end, ", crate = aiosw"))),
    ("attribute: literal as a value", |s| {
        on_message(s, |at| {
            let value = format!(" = {}", &s.text[at.clone()]);
            replace(at.start - 1..at.end + 1, &value)
        })
    }),
    ("attribute: a literal where there is none", |s| match s.literal() {
        Some(_) => Vec::new(),
        None => insert(s.attribute().end, "(\"chat\")"),
    }),
    ("attribute: an unknown option where there is none", |s| match s.literal() {
        Some(_) => Vec::new(),
        None => insert(s.attribute().end, "(retry = 3)"),
    }),
    ("attribute: empty parentheses", |s| match s.literal() {
        Some(_) => Vec::new(),
        None => insert(s.attribute().end, "()"),
    }),
    ("attribute: twice", |s| {
        let handler = s.handler().start;
        insert(handler, format!("#[{}]\n", &s.text[s.attribute()]))
    }),
    ("attribute: a second one below", |s| in_handler(s, "async", "#[aiows::fallback]\nasync")),
    ("attribute: drop the hash", |s| {
        let start = s.handler().start;
        replace(start..start + 1, "")
    }),
    ("attribute: another kind", |s| match s.kind() {
        "message" => Vec::new(),
        _ => replace(s.attribute(), "aiows::message"),
    }),
];
