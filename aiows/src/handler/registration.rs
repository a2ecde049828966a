//! What the attributes and `routes![]` expand to; reached as `aiows::__private`.

use std::future::Future;
use std::sync::Arc;

use super::{BoxFuture, Ended, Kind, Route, Routes};
use super::{IntoOutcome, Outcome};
use crate::error::{ConstText, HandlerError};
use crate::extract::Call;
use crate::extract::Needs;

/// A function that one of the handler attributes stands on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "annotate an `async fn` with `#[connect]`, `#[message(\"..\")]`, `#[disconnect]` or `#[fallback]`, and list its name"
)]
pub trait Handler {
    /// What the attribute and the function say.
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

/// What a handler serves.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// New connections.
    Connect,
    /// The end of connections that were admitted.
    Disconnect,
    /// The end of all connections.
    DisconnectAlways,
    /// Messages nobody else serves.
    Fallback,
    /// Messages of this type.
    Message(&'static str),
}

impl HandlerMeta {
    /// Combines what an attribute knows.
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

/// Describes the handler an entry of `routes![]` names.
#[must_use]
pub const fn meta<H: Handler>(_: &H) -> HandlerMeta {
    H::META
}

/// Makes the routes of a list.
#[must_use]
pub fn routes(metas: &[HandlerMeta]) -> Routes {
    metas.iter().map(|meta| (meta.route)(*meta)).collect()
}

/// Makes the route of a handler.
#[must_use]
pub fn route<F>(meta: HandlerMeta, needs: &[Needs], run: F) -> Route
where
    F: Fn(Call) -> BoxFuture + Send + Sync + 'static,
{
    let mut all = Needs::default();
    needs.iter().for_each(|needs| all.append(needs));
    let key = match meta.key {
        Key::Connect => Kind::Connect,
        Key::Disconnect => Kind::Disconnect(Ended::Admitted),
        Key::DisconnectAlways => Kind::Disconnect(Ended::Any),
        Key::Fallback => Kind::Fallback,
        Key::Message(message_type) => Kind::Message(message_type.to_owned()),
    };
    Route {
        key,
        name: meta.name.to_owned(),
        location: format!("{}:{}", meta.file, meta.line),
        needs: all,
        run: Arc::new(run),
    }
}

/// Boxes the future of a handler; the place where it has to be `Send`.
pub fn boxed<F>(future: F) -> BoxFuture
where
    F: Future<Output = Result<Outcome, HandlerError>> + Send + 'static,
{
    Box::pin(future)
}

/// Turns what a handler returned into its answer.
///
/// # Errors
///
/// As [`IntoOutcome::into_outcome`].
pub fn outcome<R: IntoOutcome>(call: &Call, returned: R) -> Result<Outcome, HandlerError> {
    returned.into_outcome(call)
}

/// Stops the compilation when an earlier handler serves what the one at `index` serves.
///
/// # Panics
///
/// In a constant, which makes the panic an error of the compiler.
#[track_caller]
pub const fn assert_unique(metas: &[HandlerMeta], index: usize) {
    let mut earlier = 0;
    while earlier < index {
        if is_same(metas[earlier].key, metas[index].key) {
            refuse(metas[earlier], metas[index].key);
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
const fn refuse(earlier: HandlerMeta, key: Key) {
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
