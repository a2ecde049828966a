//! Compares the message type in an attribute with the one its message declares, in the compiler.

use std::marker::PhantomData;

use crate::error::ConstText;
use crate::message::Message;

/// Taken as the message itself.
#[derive(Debug)]
pub enum Payload {}

/// Taken with [`FromCall`](super::FromCall).
#[derive(Debug)]
pub enum Extractor {}

/// A handler whose attribute and last argument agree about the message type.
///
/// The expansion has [`Serves::SERVING`] in a pattern, next to what [`last`](super::argument::last) returns.
/// The constant of a pattern is evaluated by `cargo check`, and inference gives it the argument's
/// type: named a second time, a misspelled one would be two errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Serving<F>(pub(super) PhantomData<F>);

/// Implemented by the handler for all arguments; evaluated for the one it has.
pub trait Serves<T, Via> {
    /// What [`serving`] says about them.
    const SERVING: Serving<fn(T, Via)>;
}

/// What a `T` that is taken this way declares; holds wherever [`Take`](super::argument::Take) does.
pub trait Declares<T> {
    /// The declared message type.
    const TYPE: Option<&'static str>;
}

impl<T: Message> Declares<T> for Payload {
    const TYPE: Option<&'static str> = if T::DECLARED { Some(T::TYPE) } else { None };
}

impl<T> Declares<T> for Extractor {
    const TYPE: Option<&'static str> = None;
}

/// Stops the compilation when a `T` declares a type that `literal` cannot become.
///
/// `Router::nest` puts prefixes before message types, so the literal may be the end of the declared
/// type. What is left is compared when the server is built.
///
/// # Panics
///
/// In a constant, which makes the panic an error of the compiler.
#[must_use]
#[track_caller]
pub const fn serving<T, Via: Declares<T>>(literal: &'static str) -> Serving<fn(T, Via)> {
    if let Some(declared) = Via::TYPE
        && !ends_with(declared.as_bytes(), literal.as_bytes())
    {
        ConstText::new()
            .with("handler is registered for \"")
            .with(literal)
            .with("\", but its message declares \"")
            .with(declared)
            .with("\"")
            .refuse();
    }
    Serving(PhantomData)
}

const fn ends_with(text: &[u8], end: &[u8]) -> bool {
    if text.len() < end.len() {
        return false;
    }
    let start = text.len() - end.len();
    let mut at = 0;
    while at < end.len() && text[start + at] == end[at] {
        at += 1;
    }
    at == end.len()
}
