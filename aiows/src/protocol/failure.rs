//! Violations of the protocol or of a limit, with the close frame that answers each.

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::Error;

use crate::close::CloseCode;
use crate::error::{Closing, closing};

/// A violation of the protocol or of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Protocol,
    /// The message is larger than this limit, in bytes.
    TooLarge(usize),
    /// The message has more fragments than this limit.
    TooManyFragments(usize),
    Utf8,
}

impl Failure {
    pub(super) fn of(error: &Error, message_size: usize) -> Self {
        match error {
            Error::Capacity(_) => Self::TooLarge(message_size),
            Error::Utf8(_) => Self::Utf8,
            _ => Self::Protocol,
        }
    }

    fn closing(self) -> Closing {
        match self {
            Self::Protocol => closing::PROTOCOL,
            Self::TooLarge(_) => closing::TOO_LARGE,
            Self::TooManyFragments(_) => closing::TOO_MANY_FRAGMENTS,
            Self::Utf8 => closing::NOT_UTF8,
        }
    }

    pub(crate) fn code(self) -> CloseCode {
        self.closing().code
    }

    /// Returns the close reason. It names the limit for clients that send the same message again
    /// after each reconnect.
    pub(crate) fn reason(self) -> Cow<'static, str> {
        match self {
            Self::TooLarge(limit) | Self::TooManyFragments(limit) => {
                self.closing().with(&limit.to_string()).into()
            }
            Self::Protocol | Self::Utf8 => self.closing().reason.into(),
        }
    }
}
