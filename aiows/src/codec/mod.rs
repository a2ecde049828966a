//! JSON: parses the head and the payload of a message, and encodes messages once for all
//! recipients.
//!
//! A message is a JSON object. Its *head* is the message type, under the key that [`Tag`] names,
//! and the optional `id` or `correlation_id`; all other keys are the payload.

mod answer; // recognizes the answer to a question
pub(crate) mod buffer; // reuses byte buffers
mod decode; // decodes a payload
mod encode; // encodes a message
mod explain; // the fields that serde rejects
mod filter; // hides the keys of the head from the payload
mod head; // parses the head
mod key; // keys of maps that are not texts
mod mismatch; // finds types that cannot read their messages
mod nesting; // bounds the depth of a text
mod object; // writes a payload behind a head
mod reserved_keys; // keys that serde_json reserves for itself
mod reserved_types; // message types of the protocol

use std::sync::Arc;

pub(crate) use self::answer::question_number;
pub(crate) use self::decode::{decode, decode_whole};
pub(crate) use self::encode::{
    Encoded, HeadId, MAX_COPIED, encode, encode_builtin, encode_named, encode_value,
};
pub(crate) use self::explain::explain;
pub(crate) use self::head::{leading_type, read_head};
pub(crate) use self::mismatch::Mismatch;
pub(crate) use self::mismatch::mismatch;
pub(crate) use self::nesting::check_nesting;
pub(crate) use self::reserved_keys::{PRIVATE, check_keys};
pub(crate) use self::reserved_types::{assert_type, check_reserved, is_reserved};

/// The key that carries the message type. It is `type`, unless the router sets another one.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Tag(Arc<str>);

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        // The connections of one router share their tag.
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Tag {
    pub(crate) fn new(key: &str) -> Self {
        Self(key.into())
    }

    pub(crate) fn key(&self) -> &str {
        &self.0
    }

    /// Returns the keys that belong to the framework in every message.
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
