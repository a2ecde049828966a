//! The mistakes. Each rule makes no, one or several changes to a valid program.

use std::ops::Range;

use super::source::Source;

mod attribute;
mod body;
mod list;
mod signature;
mod types;

/// One change: `text` replaces the range `at`.
pub(crate) struct Edit {
    pub(crate) at: Range<usize>,
    pub(crate) text: String,
}

pub(crate) type Rule = (&'static str, fn(&Source) -> Vec<Edit>);

pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    let rules = [attribute::RULES, signature::RULES, types::RULES, body::RULES, list::RULES];
    rules.into_iter().flatten()
}

fn replace(at: Range<usize>, text: impl Into<String>) -> Vec<Edit> {
    vec![Edit { at, text: text.into() }]
}

fn insert(at: usize, text: impl Into<String>) -> Vec<Edit> {
    replace(at..at, text)
}

/// Replaces the first `from` in the handler, if there is one.
fn in_handler(source: &Source, from: &str, to: &str) -> Vec<Edit> {
    source.in_handler(from).map(|at| replace(at, to)).unwrap_or_default()
}

fn on_message(source: &Source, edit: impl Fn(Range<usize>) -> Vec<Edit>) -> Vec<Edit> {
    source.literal().map(edit).unwrap_or_default()
}

/// Changes the type of each argument.
fn each_type(source: &Source, edit: impl Fn(&str) -> Option<String>) -> Vec<Edit> {
    let arguments = source.arguments().into_iter();
    arguments
        .filter_map(|(_, at)| Some(Edit { text: edit(&source.text[at.clone()])?, at }))
        .collect()
}
