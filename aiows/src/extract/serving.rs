//! Compares the message type in an attribute with the type that the message declares, at compile
//! time.

use std::marker::PhantomData;

use crate::error::ConstText;
use crate::message::Message;

/// The argument is the message itself.
#[derive(Debug)]
pub enum Payload {}

/// The argument is extracted with [`FromCall`](super::FromCall).
#[derive(Debug)]
pub enum Extractor {}

/// Proof that a handler's attribute and its last argument agree on the message type.
///
/// The expansion has [`Serves::SERVING`] in a pattern, next to the value that
/// [`last`](super::argument::last) returns. `cargo check` evaluates the constant of a pattern, and
/// inference gives it the argument's type. If the expansion named the type a second time, a
/// misspelled type would give two errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Serving<F>(pub(super) PhantomData<F>);

/// Implemented by the handler for all types of arguments, and evaluated for the one it has.
pub trait Serves<T, Via> {
    /// The result of [`serving`] for this argument.
    const SERVING: Serving<fn(T, Via)>;
}

/// The message type that a `T` declares if it is taken in this way. Implemented for every `T` that
/// implements [`Take`](super::argument::Take).
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

/// Stops the compilation if `T` declares a message type that `literal` cannot become.
///
/// `Router::nest` adds prefixes to message types, so the literal may be the end of the declared
/// type. The build of the server compares the rest.
///
/// # Panics
///
/// Panics in a constant, which makes the panic a compile error.
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
            .stop_compilation();
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
