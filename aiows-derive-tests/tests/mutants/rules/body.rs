//! Mistakes in the handler's body, most of them half typed.

use super::{Rule, in_handler, insert, replace};

pub(super) const RULES: &[Rule] = &[
    ("body: half a `let`", |s| insert(s.body(), "\n    let = ;")),
    ("body: half a call", |s| insert(s.body(), "\n    let ws = foo(;")),
    ("body: half a path", |s| insert(s.body(), "\n    std::;")),
    ("body: half a field", |s| insert(s.body(), "\n    \"a\". ;")),
    ("body: an unknown name", |s| insert(s.body(), "\n    let _ = unknown;")),
    ("body: an unknown method", |s| insert(s.body(), "\n    \"a\".unknown();")),
    ("body: a wrong type", |s| insert(s.body(), "\n    let _: u8 = \"a\";")),
    ("body: a missing semicolon", |s| insert(s.body(), "\n    let _ = 1")),
    ("body: a closing brace too many", |s| insert(s.body(), " }")),
    ("body: drop the opening brace", |s| {
        let end = s.body();
        replace(end - 2..end, "")
    }),
    ("body: drop the closing brace", |s| {
        let end = s.handler().end;
        replace(end - 2..end, "")
    }),
    ("body: `await` of a value", |s| insert(s.body(), "\n    let _ = 1.await;")),
    ("body: drop `.await`", |s| in_handler(s, ".await", "")),
    ("body: an `Rc` across an `await`", |s| {
        insert(s.body(), "\n    let count = std::rc::Rc::new(1);\n    let _count = &count;")
    }),
    ("body: a lock across an `await`", |s| {
        insert(s.body(), "\n    let lock = std::sync::Mutex::new(1);\n    let _lock = lock.lock();")
    }),
    ("body: returns a string", |s| insert(s.body(), "\n    return \"a\";")),
];
