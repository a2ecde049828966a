//! Types and functions for the code that the attributes and `routes![]` generate; reached as
//! `aiows::__private`.

use std::future::Future;
use std::sync::Arc;

use super::{BoxFuture, Ended, IntoOutcome, Kind, Outcome, Route, Routes};
use crate::error::{ConstText, HandlerError};
use crate::extract::{Call, Needs};

/// A function with one of the handler attributes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "annotate an `async fn` with `#[connect]`, `#[message(\"..\")]`, `#[disconnect]` or `#[fallback]`, and list its name"
)]
pub trait Handler {
    /// The handler's description, from its attribute.
    const META: HandlerMeta;
}

/// A handler as its attribute describes it.
#[derive(Clone, Copy, Debug)]
pub struct HandlerMeta {
    key: Key,
    name: &'static str,
    file: &'static str,
    line: u32,
    route: fn(Self) -> Route,
}

/// The event that a handler is for, in a form that constants can use.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A new connection.
    Connect,
    /// The end of an admitted connection.
    Disconnect,
    /// The end of any connection.
    DisconnectAlways,
    /// A message without a handler of its own.
    Fallback,
    /// A message of this type.
    Message(&'static str),
}

impl HandlerMeta {
    /// Creates the description from the parts that an attribute knows.
    #[must_use]
    pub const fn new(
        key: Key,
        name: &'static str,
        file: &'static str,
        line: u32,
        route: fn(Self) -> Route,
    ) -> Self {
        Self { key, name, file, line, route }
    }
}

/// Returns the description of a handler listed in `routes![]`.
#[must_use]
pub const fn meta<H: Handler>(_: &H) -> HandlerMeta {
    H::META
}

/// Creates the routes of a list.
#[must_use]
pub fn routes(metas: &[HandlerMeta]) -> Routes {
    metas.iter().map(|meta| (meta.route)(*meta)).collect()
}

/// Creates the route of a handler.
#[must_use]
pub fn route<F>(meta: HandlerMeta, needs: &[Needs], run: F) -> Route
where
    F: Fn(Call) -> BoxFuture + Send + Sync + 'static,
{
    let mut all = Needs::default();
    needs.iter().for_each(|needs| all.append(needs));
    let kind = match meta.key {
        Key::Connect => Kind::Connect,
        Key::Disconnect => Kind::Disconnect(Ended::Admitted),
        Key::DisconnectAlways => Kind::Disconnect(Ended::Any),
        Key::Fallback => Kind::Fallback,
        Key::Message(message_type) => Kind::Message(message_type.to_owned()),
    };
    Route {
        kind,
        name: meta.name.to_owned(),
        location: format!("{}:{}", meta.file, meta.line),
        needs: all,
        run: Arc::new(run),
    }
}

/// Boxes the future of a handler. This call requires the future to be `Send`.
pub fn boxed<F>(future: F) -> BoxFuture
where
    F: Future<Output = Result<Outcome, HandlerError>> + Send + 'static,
{
    Box::pin(future)
}

/// Converts the value that a handler returned into an outcome.
///
/// # Errors
///
/// As [`IntoOutcome::into_outcome`].
pub fn outcome<R: IntoOutcome>(call: &Call, returned: R) -> Result<Outcome, HandlerError> {
    returned.into_outcome(call)
}

/// Stops the compilation if an earlier handler in the list handles the same event as the one at
/// `index`.
///
/// # Panics
///
/// Panics in a constant, which the compiler reports as an error.
#[track_caller]
pub const fn assert_unique(metas: &[HandlerMeta], index: usize) {
    let mut earlier = 0;
    while earlier < index {
        if is_same(metas[earlier].key, metas[index].key) {
            fail_duplicate(metas[earlier], metas[index].key);
        }
        earlier += 1;
    }
}

const fn is_same(a: Key, b: Key) -> bool {
    match (a, b) {
        (Key::Fallback, Key::Fallback) => true,
        (Key::Message(a), Key::Message(b)) => {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let mut at = 0;
            while at < a.len() && at < b.len() && a[at] == b[at] {
                at += 1;
            }
            at == a.len() && at == b.len()
        }
        _ => false,
    }
}

#[track_caller]
const fn fail_duplicate(earlier: HandlerMeta, key: Key) {
    let text = match key {
        Key::Message(message_type) => ConstText::new()
            .with("duplicate handler for message type \"")
            .with(message_type)
            .with("\": `")
            .with(earlier.name)
            .with("` already handles it"),
        Key::Connect | Key::Disconnect | Key::DisconnectAlways | Key::Fallback => ConstText::new()
            .with("a second fallback handler: `")
            .with(earlier.name)
            .with("` already handles every other message"),
    };
    text.stop_compilation();
}
