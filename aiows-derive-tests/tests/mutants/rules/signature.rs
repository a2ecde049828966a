//! Mistakes in the handler's signature.

use super::{Edit, Rule, each_type, in_handler, insert, replace};

pub(super) const RULES: &[Rule] = &[
    ("signature: drop `async`", |s| in_handler(s, "async ", "")),
    ("signature: drop `fn`", |s| in_handler(s, "fn ", "")),
    ("signature: misspell `async`", |s| in_handler(s, "async", "asnyc")),
    ("signature: misspell `fn`", |s| in_handler(s, "fn", "fun")),
    ("signature: drop the name", |s| replace(s.function(), "")),
    ("signature: a number as the name", |s| replace(s.function(), "1")),
    ("signature: `unsafe`", |s| in_handler(s, "async fn", "async unsafe fn")),
    ("signature: `const`", |s| in_handler(s, "async fn", "const async fn")),
    ("signature: `extern`", |s| in_handler(s, "async fn", "async extern \"C\" fn")),
    ("signature: type parameter", |s| insert(s.function().end, "<T>")),
    ("signature: lifetime parameter", |s| insert(s.function().end, "<'a>")),
    ("signature: const parameter", |s| insert(s.function().end, "<const N: usize>")),
    ("signature: where clause", |s| insert(s.returns().end, " where String: Clone")),
    ("signature: `&self`", |s| insert(s.parameters().start, "&self, ")),
    ("signature: no body", |s| {
        let handler = s.handler();
        replace(s.returns().end..handler.end, ";")
    }),
    ("signature: drop the parentheses", |s| match s.parameters() {
        at if at.is_empty() => replace(at.start - 1..at.end + 1, ""),
        _ => Vec::new(),
    }),
    ("signature: drop a comma", |s| match &s.arguments()[..] {
        [(first, _), .., (last, _)] => {
            let between = s.text[first.end..last.start].find(',');
            between.map(|at| replace(first.end + at..first.end + at + 1, "")).unwrap_or_default()
        }
        _ => Vec::new(),
    }),
    ("signature: variadic", |s| match s.parameters().is_empty() {
        true => Vec::new(),
        false => insert(s.parameters().end, ", ..."),
    }),
    ("argument: swap first and last", |s| match &s.arguments()[..] {
        [(first, _), .., (last, _)] => {
            let between = &s.text[first.end..last.start];
            let (first_text, last_text) = (&s.text[first.clone()], &s.text[last.clone()]);
            replace(first.start..last.end, format!("{last_text}{between}{first_text}"))
        }
        _ => Vec::new(),
    }),
    ("argument: drop", |s| {
        let comma = |end| if s.text[end..].starts_with(", ") { 2 } else { 0 };
        let arguments = s.arguments().into_iter();
        arguments
            .map(|(at, _)| Edit { at: at.start..at.end + comma(at.end), text: String::new() })
            .collect()
    }),
    ("argument: twice", |s| {
        let mut arguments = s.arguments();
        arguments.truncate(arguments.len() - usize::from(s.payload().is_some()));
        arguments
            .into_iter()
            .map(|(at, _)| Edit { at: at.start..at.start, text: format!("{}, ", &s.text[at]) })
            .collect()
    }),
    ("argument: misspell the type", |s| {
        each_type(s, |ty| {
            let (head, tail) = ty.split_at(1);
            Some(format!("{head}x{tail}"))
        })
    }),
    ("argument: by reference", |s| each_type(s, |ty| Some(format!("&{ty}")))),
    ("argument: by mutable reference", |s| each_type(s, |ty| Some(format!("&mut {ty}")))),
    ("argument: drop the type", |s| {
        let arguments = s.arguments().into_iter();
        arguments.map(|(_, at)| Edit { at: at.start - 2..at.end, text: String::new() }).collect()
    }),
    ("argument: drop the parameters of the type", |s| {
        each_type(s, |ty| ty.split_once('<').map(|(name, _)| name.to_owned()))
    }),
    ("argument: `impl Trait`", |s| insert(s.parameters().start, "_: impl Send, ")),
    ("argument: `impl Trait` in a type", |s| {
        insert(s.parameters().start, "_: Option<impl Send>, ")
    }),
    ("argument: `bool` first", |s| insert(s.parameters().start, "_: bool, ")),
    ("argument: `bool` last", |s| match s.payload() {
        Some(_) => Vec::new(),
        None => insert(s.parameters().end, ", _: bool"),
    }),
    ("argument: a trait object first", |s| insert(s.parameters().start, "_: Box<dyn Fn()>, ")),
    ("argument: a list first", |s| insert(s.parameters().start, "_: Vec<String>, ")),
    ("argument: an option of no extractor first", |s| {
        insert(s.parameters().start, "_: Option<u8>, ")
    }),
    ("argument: a function pointer first", |s| insert(s.parameters().start, "_: fn(), ")),
    ("argument: unknown type first", |s| insert(s.parameters().start, "_: Unknown, ")),
    ("argument: state that is not `Clone`", |s| {
        insert(s.parameters().start, "_: aiows::State<std::sync::Mutex<u8>>, ")
    }),
    ("argument: `Rc` in a state", |s| {
        insert(s.parameters().start, "_: aiows::State<std::rc::Rc<u8>>, ")
    }),
    ("argument: two payloads", |s| match s.payload() {
        Some(payload) => insert(s.parameters().start, format!("_: {payload}, ")),
        None => Vec::new(),
    }),
    ("argument: a keyword as its name", |s| insert(s.parameters().start, "type: String, ")),
];
