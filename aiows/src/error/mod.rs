//! What can fail: the server, a handler, a send.

mod codes;
mod const_text;
mod field;
mod handler;
mod mistakes;
mod panic;
mod request;
mod send;
mod text;
mod visible;

use std::fmt;
use std::io;

pub(crate) use self::codes::{Closing, HttpRefusal, closing, code, field_code, http_refusal};
pub(crate) use self::const_text::ConstText;
pub use self::field::FieldError;
pub(crate) use self::field::MAX_FIELDS;
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
/// It tells what went wrong through its predicates. Its text is for people: it describes this
/// level only, may change between releases, and [`source`](std::error::Error::source) has the
/// cause. The type of the cause is no part of the interface.
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

    /// Tells whether an address could not be resolved or listened on.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        matches!(self.kind, Kind::Bind(_))
    }

    /// Tells whether the server was built from routes or settings that contradict each other.
    #[must_use]
    pub fn is_registration(&self) -> bool {
        matches!(self.kind, Kind::Registration(_))
    }

    /// Tells whether the server stopped before every connection had ended by itself.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.kind == Kind::Forced
    }

    /// Tells whether the operating system refused something; the cause says what.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.cause.is_some()
    }

    /// Lists the mistakes that [`is_registration`](Self::is_registration) speaks of.
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

// `main` prints an error with `Debug`, so it has to be readable.
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
