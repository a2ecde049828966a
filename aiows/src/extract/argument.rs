//! One argument of a handler, as the attributes expand it.

use std::fmt;
use std::marker::PhantomData;

use super::serving::{Extractor, Payload, Serving};
use super::{Call, Extraction, FromCall, Needs};
use crate::message::{Incoming, Message};

/// How one argument of a handler is extracted. The attributes expand to it.
///
/// Only the constructors bound `T`, so that a wrong type is one compile error.
pub struct Arg<T> {
    needs: fn(&mut Needs),
    take: fn(&Call) -> Extraction<T>,
}

impl<T> Arg<T> {
    /// Returns the requirements of the argument.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        (self.needs)(&mut needs);
        needs
    }

    /// Extracts the argument from a call.
    pub fn take(&self, call: &Call) -> Extraction<T> {
        (self.take)(call)
    }
}

impl<T> Clone for Arg<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Arg<T> {}

impl<T> fmt::Debug for Arg<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arg")
    }
}

/// Describes an argument that is extracted with [`FromCall`].
#[must_use]
pub fn arg<T: FromCall>() -> Arg<T> {
    Arg { needs: T::needs, take: T::from_call }
}

/// The last argument, and the proof that the handler's attribute agrees with its type.
pub type Last<T, Via> = (Arg<T>, Serving<fn(T, Via)>);

/// Describes the last argument of a message handler: its message, or one more extractor.
// `Receive` bounds `Via` on purpose: the compiler does not report a `Via` that is still unknown, so
// a type that is neither a message nor an extractor is one error.
#[must_use]
pub fn last<T, Via>() -> Last<T, Via>
where
    T: Take<Via>,
    Via: Receive<T>,
{
    (Arg { needs: Via::needs, take: Via::receive }, Serving(PhantomData))
}

/// A type that can be the last argument of a message handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler argument",
    label = "neither a message nor an extractor",
    note = "a message is a struct that derives `aiows::Message` and `serde::Deserialize`",
    note = "an extractor implements `aiows::extract::FromCall`",
    note = "`State<T>` and `Context<T>` are extractors if `T: Clone + Send + Sync + 'static`, `Local<T>` if `T: Default + Send + Sync + 'static`"
)]
pub trait Take<Via> {}

#[diagnostic::do_not_recommend]
impl<T: Message> Take<Payload> for T {}

#[diagnostic::do_not_recommend]
impl<T: FromCall> Take<Extractor> for T {}

/// A way to extract a `T`, implemented if `T` meets its requirements.
#[diagnostic::on_unimplemented(
    message = "the message `{T}` cannot be received",
    label = "does not implement `serde::Deserialize`, or is not `Send`",
    note = "annotate `{T}` with `#[derive(serde::Deserialize)]`",
    note = "a message must own its data and be `Send`, because another thread may handle it"
)]
pub trait Receive<T> {
    /// Extracts the value from the call.
    fn receive(call: &Call) -> Extraction<T>;

    /// Declares the requirements.
    fn needs(needs: &mut Needs);
}

#[diagnostic::do_not_recommend]
impl<T: Incoming> Receive<T> for Payload {
    fn receive(call: &Call) -> Extraction<T> {
        Extraction::ready(call.payload())
    }

    fn needs(needs: &mut Needs) {
        needs.payload::<T>();
    }
}

#[diagnostic::do_not_recommend]
impl<T: FromCall> Receive<T> for Extractor {
    fn receive(call: &Call) -> Extraction<T> {
        T::from_call(call)
    }

    fn needs(needs: &mut Needs) {
        T::needs(needs);
    }
}
