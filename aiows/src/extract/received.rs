//! A message on its way to a handler, with a cache for its request id.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::id::MessageId;
use crate::protocol::Inbound;

/// A message on its way to a handler.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(super) inbound: Inbound,
    /// Set when the payload or the head is decoded, whichever comes first.
    pub(super) id: FoundId,
}

/// The request id of a message, as far as the message was decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestId<T = MessageId> {
    Unread,
    Absent,
    Present(T),
}

impl From<Option<MessageId>> for RequestId {
    fn from(id: Option<MessageId>) -> Self {
        id.map_or(Self::Absent, Self::Present)
    }
}

/// A cache for the request id of a message, which is known once the head or the payload was
/// decoded.
#[derive(Debug, Default)]
pub(super) struct FoundId {
    /// Set if the message has no id. A separate flag, because filling the cell costs more and most
    /// messages have no id.
    is_none: AtomicBool,
    id: OnceLock<MessageId>,
}

impl FoundId {
    #[inline]
    pub(super) fn get(&self) -> RequestId<&MessageId> {
        match self.id.get() {
            Some(id) => RequestId::Present(id),
            None if self.is_none.load(Ordering::Relaxed) => RequestId::Absent,
            None => RequestId::Unread,
        }
    }

    pub(super) fn take(&mut self) -> Option<MessageId> {
        self.id.take()
    }

    /// If two threads both find the id, they find the same one, so the second call has no effect.
    #[inline]
    pub(super) fn set(&self, id: Option<MessageId>) {
        match id {
            None => self.is_none.store(true, Ordering::Relaxed),
            Some(id) => drop(self.id.set(id)),
        }
    }
}

impl Clone for FoundId {
    fn clone(&self) -> Self {
        let is_none = AtomicBool::new(self.is_none.load(Ordering::Relaxed));
        Self { is_none, id: self.id.clone() }
    }
}

impl Received {
    pub(crate) fn new(inbound: Inbound, id: RequestId) -> Self {
        let found = FoundId::default();
        match id {
            RequestId::Unread => {}
            RequestId::Absent => found.set(None),
            RequestId::Present(id) => found.set(Some(id)),
        }
        Self { inbound, id: found }
    }
}
