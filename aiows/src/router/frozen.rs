use std::fmt;
use std::sync::Arc;

use super::asked::Asked;
use crate::codec::Tag;
use crate::route::Run;
use crate::state::StateMap;

/// A router after the build: never changed, read without locks.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    pub(crate) connect: Vec<Endpoint>,
    pub(crate) disconnect: Vec<Endpoint>,
    /// Sorted by message type: a search compares a few short texts, which beats hashing one.
    messages: Vec<(Box<str>, Endpoint)>,
    pub(super) fallback: Option<Endpoint>,
    pub(crate) tag: Tag,
    pub(crate) asked: Asked,
}

/// One handler, ready to be called.
pub(crate) struct Endpoint {
    pub(crate) title: String,
    pub(crate) run: Run,
    pub(crate) state: Arc<StateMap>,
    /// Decoding the payload checks the whole text; any other handler needs that done before.
    pub(crate) decodes: bool,
    pub(super) takes_text: bool,
    pub(super) takes_bytes: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("title", &self.title).finish_non_exhaustive()
    }
}

/// Where a message goes.
#[derive(Debug)]
pub(crate) enum Target<'a> {
    Fallback(&'a Endpoint),
    Message(&'a Endpoint),
    Unknown,
}

impl Frozen {
    pub(super) fn new(tag: Tag) -> Self {
        Self { tag, ..Self::default() }
    }

    /// Adds the handler of a message type that has none yet.
    pub(super) fn add_message(&mut self, message_type: &str, endpoint: Endpoint) {
        if let Err(at) = self.search(message_type) {
            self.messages.insert(at, (message_type.into(), endpoint));
        }
    }

    fn search(&self, message_type: &str) -> Result<usize, usize> {
        self.messages.binary_search_by(|(known, _)| (**known).cmp(message_type))
    }

    pub(crate) fn target(&self, message_type: &str) -> Target<'_> {
        let found = self.search(message_type).ok().map(|at| &self.messages[at].1);
        match (found, &self.fallback) {
            (Some(endpoint), _) => Target::Message(endpoint),
            (None, Some(endpoint)) => Target::Fallback(endpoint),
            (None, None) => Target::Unknown,
        }
    }

    /// The fallback, if it takes frames that are no messages.
    pub(crate) fn frame_fallback(&self, is_text: bool) -> Option<&Endpoint> {
        self.fallback
            .as_ref()
            .filter(|endpoint| endpoint.takes_bytes || (is_text && endpoint.takes_text))
    }
}
