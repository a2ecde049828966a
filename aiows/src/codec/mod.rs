//! JSON text to head and payload, and a message back to text encoded once.

mod answer;
pub(crate) mod buffer;
mod culprit;
mod decode;
mod encode;
mod failure;
mod filter;
mod head;
mod key;
mod misfit;
mod nesting;
mod object;
mod private;
mod reserved;

use std::sync::Arc;

pub(crate) use self::answer::answered;
pub(crate) use self::decode::{decode, decode_whole};
pub(crate) use self::encode::{
    Encoded, encode, encode_named, encode_own, encode_question, encode_value,
};
pub(crate) use self::failure::field_error;
pub(crate) use self::head::{leading_type, read_head};
pub(crate) use self::misfit::Misfit;
pub(crate) use self::misfit::misfit;
pub(crate) use self::nesting::check_nesting;
pub(crate) use self::private::{PRIVATE, check_keys};
pub(crate) use self::reserved::{assert_type, check_reserved, is_reserved};

/// The key that carries the message type; `type` unless a router chose another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(Arc<str>);

impl Tag {
    pub(crate) fn new(key: &str) -> Self {
        Self(key.into())
    }

    pub(crate) fn key(&self) -> &str {
        &self.0
    }

    /// The keys that are the framework's in every message.
    pub(crate) fn head_keys(&self) -> [&str; 3] {
        [self.key(), ID, CORRELATION_ID]
    }
}

impl Default for Tag {
    fn default() -> Self {
        Self::new("type")
    }
}

pub(crate) const ID: &str = "id";
pub(crate) const CORRELATION_ID: &str = "correlation_id";
