//! The data messages of a peer.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The size of a message, in bytes, above which its buffer is not kept unconditionally.
const LARGE_MESSAGE: usize = 64 * 1024;

/// One data message of a peer, complete and unmasked.
#[derive(Clone, Debug)]
pub(crate) enum Inbound {
    /// A binary message that does not hold UTF-8.
    Binary(Bytes),
    Text(Text),
}

impl Inbound {
    pub(crate) fn text(text: String) -> Self {
        Self::Text(Text::new(text.into()))
    }

    /// Makes a message from a binary one. If it holds UTF-8, it is handled as text.
    pub(crate) fn binary(bytes: Bytes) -> Self {
        match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Self::Text(Text { text, was_binary: true }),
            Err(_) => Self::Binary(bytes),
        }
    }

    /// Makes a message from bytes of another one.
    pub(crate) fn of_bytes(bytes: Bytes, is_binary: bool) -> Self {
        match is_binary {
            true => Self::binary(bytes),
            // The text is copied, so that it does not keep the buffer of the other message alive.
            false => match str::from_utf8(&bytes) {
                Ok(text) => Self::text(text.to_owned()),
                Err(_) => Self::Binary(bytes),
            },
        }
    }

    /// Returns whether the message arrived in binary frames, even if it was turned into text since.
    pub(crate) fn is_binary(&self) -> bool {
        match self {
            Self::Binary(_) => true,
            Self::Text(text) => text.was_binary,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Binary(bytes) => bytes,
            Self::Text(text) => text.as_str().as_bytes(),
        }
    }

    pub(crate) fn is_large(&self) -> bool {
        self.bytes().len() > LARGE_MESSAGE
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Binary(_) => None,
            Self::Text(text) => Some(text.as_str()),
        }
    }
}

/// A valid text that shares the buffer it was read into.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: Utf8Bytes,
    was_binary: bool,
}

impl Text {
    pub(super) fn new(text: Utf8Bytes) -> Self {
        Self { text, was_binary: false }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.text.as_str()
    }
}
