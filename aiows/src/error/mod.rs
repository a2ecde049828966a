//! The errors of the server, of handlers, and of sends.
//!
//! Handlers return a [`HandlerError`], which decides about the answer to the client. A send fails
//! with a [`SendError`], and a request to a client with a [`RequestError`]; both become a
//! `HandlerError` if you return them with `?`. [`Error`] is the error of the server itself.

mod codes; // the codes, close codes and statuses that the framework sends
mod const_text; // texts for compile errors
mod field; // one invalid field and its path
mod handler; // the error of a handler
mod mistakes; // the mistakes that one build error lists
mod panic; // the payload of a panic
mod request; // the error of a request to a client
mod send; // the error of a send
mod text; // cuts texts that may be long
mod visible; // errors that become visible to the client

use std::fmt;
use std::io;

pub(crate) use self::codes::{Closing, HttpRefusal, Mistake, closing, code, http_refusal, mistake};
pub(crate) use self::const_text::ConstText;
pub use self::field::FieldError;
pub(crate) use self::field::{FieldPath, MAX_FIELDS};
pub use self::handler::HandlerError;
pub(crate) use self::mistakes::Mistakes;
pub(crate) use self::panic::{Panic, drop_quietly, panic_text};
pub use self::request::RequestError;
pub use self::send::SendError;
pub(crate) use self::text::cut;

/// The result of a handler. With `Result<(), Error>`, the result of a `main` that runs a server.
pub type Result<T = (), E = HandlerError> = std::result::Result<T, E>;

/// An error of the server itself.
///
/// Use its predicates to find out the kind of the error. The text is for people: it describes the
/// error without its cause, and may change between releases. [`source`](std::error::Error::source)
/// returns the cause. The type of the cause is not part of the public interface.
pub struct Error {
    kind: Kind,
    cause: Option<io::Error>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Bind(String),
    Forced,
    Registration(Vec<String>),
    Runtime(&'static str),
}

impl Error {
    pub(crate) fn bind(address: String, cause: io::Error) -> Self {
        Self { kind: Kind::Bind(address), cause: Some(cause) }
    }

    pub(crate) fn forced() -> Self {
        Self { kind: Kind::Forced, cause: None }
    }

    fn registration(mistakes: Vec<String>) -> Self {
        Self { kind: Kind::Registration(mistakes), cause: None }
    }

    pub(crate) fn runtime(what: &'static str, cause: io::Error) -> Self {
        Self { kind: Kind::Runtime(what), cause: Some(cause) }
    }

    /// Returns whether the server could not resolve an address or listen on it.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        matches!(self.kind, Kind::Bind(_))
    }

    /// Returns whether the server could not be built, because routes or settings contradict each
    /// other.
    #[must_use]
    pub fn is_registration(&self) -> bool {
        matches!(self.kind, Kind::Registration(_))
    }

    /// Returns whether connections had to be cut because they had not ended before the timeout of
    /// the shutdown.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.kind == Kind::Forced
    }

    /// Returns whether the operating system returned an error, which is the cause.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.cause.is_some()
    }

    /// Returns the mistakes because of which [`is_registration`](Self::is_registration) is true.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        match &self.kind {
            Kind::Registration(mistakes) => mistakes,
            Kind::Bind(_) | Kind::Forced | Kind::Runtime(_) => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Bind(address) => write!(f, "cannot listen on {address}"),
            Kind::Forced => f.write_str("shutdown was forced, connections were cut"),
            Kind::Runtime(what) => f.write_str(what),
            Kind::Registration(mistakes) => {
                f.write_str("the server cannot be built:")?;
                mistakes.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
            }
        }
    }
}

// `main` prints an error with `Debug`, so `Debug` has to be readable.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_its_line() {
        let error = Error::registration(vec!["first".into(), "second".into()]);
        assert_eq!(error.to_string(), "the server cannot be built:\n  - first\n  - second");
        assert!(error.is_registration() && !error.is_forced() && !error.is_io());
    }

    #[test]
    fn debug_shows_the_cause_for_main() {
        let error = Error::bind("localhost:1".into(), io::Error::other("no luck"));
        assert_eq!(format!("{error:?}"), "cannot listen on localhost:1: no luck");
    }
}
